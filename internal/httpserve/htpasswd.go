package httpserve

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// users is who may read the tree: the lines of an htpasswd file. Where the file
// could never be read, nobody may.
type users struct {
	*watched
	current atomic.Pointer[passwords]
	slots   chan struct{} // bounds the bcrypt computations at a time
}

// passwords is the content of one htpasswd file.
type passwords struct {
	hashes map[string][]byte // bcrypt, by user
	decoy  []byte            // the dearest of them, against which an unknown user's password is held in vain

	// A bcrypt hash takes 50 ms and more by design. A password that was once
	// verified is known again by a keyed hash, which dies with the file's
	// content and with the process.
	key      [32]byte
	mu       sync.RWMutex
	verified map[[sha256.Size]byte]bool // at most as many as there are users, or as passwords equal in their first 72 bytes
}

func newUsers(path string, log *slog.Logger) *users {
	u := &users{slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	u.current.Store(&passwords{})
	u.watched = &watched{what: "htpasswd file", paths: []string{path}, log: log, load: func(contents [][]byte) error {
		p, err := parseHtpasswd(contents[0])
		if err == nil {
			u.current.Store(p)
		}
		return err
	}}
	_ = u.check(true) // it reports by itself
	return u
}

// parseHtpasswd reads lines of user:hash. A line that cannot be used refuses
// the file: to drop it would lock out a user without a word.
func parseHtpasswd(content []byte) (*passwords, error) {
	p := &passwords{hashes: map[string][]byte{}, verified: map[[sha256.Size]byte]bool{}}
	if _, err := rand.Read(p.key[:]); err != nil {
		return nil, err
	}
	highest := 0
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		if !ok || user == "" {
			return nil, fmt.Errorf("line %d is not user:hash", n)
		}
		// Apache writes $2y$, which differs from $2a$ in name only.
		if rest, ok := strings.CutPrefix(hash, "$2y$"); ok {
			hash = "$2a$" + rest
		}
		c, err := bcrypt.Cost([]byte(hash))
		if err != nil {
			return nil, fmt.Errorf("line %d: the password of %q is not a bcrypt hash: make one with htpasswd -B", n, user)
		}
		p.hashes[user] = []byte(hash)
		if c > highest {
			highest, p.decoy = c, p.hashes[user]
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(p.hashes) == 0 {
		// As while it is being written; to lock everyone out, end the service.
		return nil, errors.New("there is no user in it")
	}
	return p, nil
}

// allow says whether a request brings a user and the right password. An unknown
// user takes as long as a wrong password.
func (u *users) allow(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	p := u.current.Load()
	mac := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(mac, "%d:%s%s", len(user), user, password)
	id := [sha256.Size]byte(mac.Sum(nil))
	p.mu.RLock()
	known := p.verified[id]
	p.mu.RUnlock()
	if known {
		return true
	}
	hash, found := p.hashes[user]
	if !found {
		hash = p.decoy
	}
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-r.Context().Done():
		return false
	}
	right := bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && found
	if right {
		p.mu.Lock()
		p.verified[id] = true
		p.mu.Unlock()
	}
	return right
}
