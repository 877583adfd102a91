package archive

import (
	"fmt"
	"io"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// memorySink is a Sink that holds a tree in memory, and fails the test when
// Extract breaks a promise that Sink or the package makes.
type memorySink struct {
	t      testing.TB
	limits Limits
	forget bool // what files hold

	files   map[string]*memoryFile
	folders map[string]time.Time
	links   map[string]string
	aliases map[string]string
	linkAt  map[string]time.Time

	unpacked   int64
	closing    bool  // after the first Symlink or Alias
	failAt     int   // the call that is to fail, counted from 1; 0: none
	failWith   error // with what
	calls      int
	contentErr error // what reading content failed with
}

type memoryFile struct {
	content string
	modTime time.Time
	size    int64
}

func newMemorySink(t testing.TB) *memorySink {
	return &memorySink{
		t:       t,
		limits:  Limits{}.withDefaults(),
		files:   map[string]*memoryFile{},
		folders: map[string]time.Time{".": {}},
		links:   map[string]string{},
		aliases: map[string]string{},
		linkAt:  map[string]time.Time{},
	}
}

func (s *memorySink) call(name string) error {
	s.t.Helper()
	require.NotEmpty(s.t, name)
	require.NotEqual(s.t, ".", name)
	require.Equal(s.t, path.Clean(name), name, "a clean name")
	require.False(s.t, path.IsAbs(name), "a relative name")
	require.NotContains(s.t, name, "\x00")
	require.LessOrEqual(s.t, len(name), maxPathBytes)
	depth := 0
	for part := range strings.SplitSeq(name, "/") {
		require.NotEqual(s.t, "..", part)
		require.LessOrEqual(s.t, len(part), maxNameBytes)
		depth++
	}
	require.LessOrEqual(s.t, depth, maxDepth)
	if s.calls++; s.failAt == s.calls {
		return s.failWith
	}
	return nil
}

func (s *memorySink) parent(name string) {
	s.t.Helper()
	require.True(s.t, has(s.folders, path.Dir(name)), "the parent of %q comes first", name)
}

func (s *memorySink) Dir(name string, modTime time.Time) error {
	s.t.Helper()
	require.False(s.t, s.closing)
	if err := s.call(name); err != nil {
		return err
	}
	s.parent(name)
	require.False(s.t, has(s.files, name), "%q is a file", name)
	_, again := s.folders[name]
	require.False(s.t, again && modTime.IsZero(), "%q is announced twice", name)
	s.folders[name] = modTime
	require.LessOrEqual(s.t, len(s.folders)-1, s.limits.others())
	return nil
}

func (s *memorySink) File(name string, modTime time.Time, size int64, content io.Reader) error {
	s.t.Helper()
	require.False(s.t, s.closing)
	if err := s.call(name); err != nil {
		return err
	}
	s.parent(name)
	require.False(s.t, has(s.folders, name), "%q is a folder", name)
	require.False(s.t, modTime.IsZero())
	require.LessOrEqual(s.t, size, s.limits.FileBytes)
	s.unpacked += size
	require.LessOrEqual(s.t, s.unpacked, s.limits.TreeBytes)

	var kept strings.Builder
	var to io.Writer = &kept
	if s.forget {
		to = io.Discard
	}
	n, err := io.Copy(to, content)
	if err != nil {
		s.contentErr = err
		return fmt.Errorf("writing %s: this sink hides what happened", name)
	}
	require.Equal(s.t, size, n)
	s.files[name] = &memoryFile{kept.String(), modTime, size}
	require.LessOrEqual(s.t, len(s.files), s.limits.Files)
	return nil
}

func (s *memorySink) HardLink(name, target string) error {
	s.t.Helper()
	require.False(s.t, s.closing)
	if err := s.call(name); err != nil {
		return err
	}
	s.parent(name)
	require.False(s.t, has(s.files, name), "a file of that name was removed first")
	require.False(s.t, has(s.folders, name), "%q", name)
	require.True(s.t, has(s.files, target), "%q", name)
	s.unpacked += s.files[target].size
	require.LessOrEqual(s.t, s.unpacked, s.limits.TreeBytes)
	s.files[name] = s.files[target]
	require.LessOrEqual(s.t, len(s.files), s.limits.Files)
	return nil
}

func (s *memorySink) Remove(name string) error {
	s.t.Helper()
	require.False(s.t, s.closing)
	if err := s.call(name); err != nil {
		return err
	}
	require.True(s.t, has(s.files, name), "%q", name)
	delete(s.files, name)
	return nil
}

func (s *memorySink) Symlink(name, target string, modTime time.Time) error {
	s.t.Helper()
	require.Empty(s.t, s.aliases, "all symlinks come before the first alias")
	s.closing = true
	if err := s.call(name); err != nil {
		return err
	}
	s.parent(name)
	require.False(s.t, has(s.files, name), "%q", name)
	require.False(s.t, has(s.folders, name), "%q", name)
	require.False(s.t, has(s.links, name), "once each")
	s.links[name] = target
	s.linkAt[name] = modTime
	return nil
}

func (s *memorySink) Alias(name, target string, dir bool) error {
	s.t.Helper()
	require.NotEmpty(s.t, s.links)
	if err := s.call(name); err != nil {
		return err
	}
	require.False(s.t, has(s.files, name), "%q", name)
	require.False(s.t, has(s.folders, name), "%q", name)
	require.False(s.t, has(s.aliases, name), "once each")
	parent := path.Dir(name)
	if _, real := s.folders[parent]; real {
		require.True(s.t, has(s.links, name), "in a real folder only symlinks are aliases")
	} else {
		require.True(s.t, has(s.aliases, parent), "the parent of %q comes first", name)
		require.True(s.t, has(s.folders, s.aliases[parent]), "and is a folder")
	}
	if dir {
		require.True(s.t, has(s.folders, target), "%q", name)
	} else {
		require.True(s.t, has(s.files, target), "%q", name)
	}
	s.aliases[name] = target
	return nil
}

// has is quick where require.Contains looks at every key.
func has[V any](m map[string]V, name string) bool {
	_, ok := m[name]
	return ok
}

// tree is all that is served: the content of files, "/" for folders.
func (s *memorySink) tree() map[string]string {
	tree := map[string]string{}
	for name := range s.folders {
		if name != "." {
			tree[name] = "/"
		}
	}
	for name, f := range s.files {
		tree[name] = f.content
	}
	for name, target := range s.aliases {
		if f, ok := s.files[target]; ok {
			tree[name] = f.content
		} else {
			tree[name] = "/"
		}
	}
	return tree
}
