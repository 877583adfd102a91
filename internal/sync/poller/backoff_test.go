package poller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
	"github.com/specman/specman/internal/testenv"
)

// withSecret is a site that logs in with a password from a mounted Secret.
func withSecret(t *testing.T, require func(r *ocitest.Registry, username, password string)) (*secret, siteOptions) {
	mounted := newSecret(t, files{"username": "robot$palette", "password": "old\n"})
	return mounted, siteOptions{
		prepare: func(r *ocitest.Registry) { require(r, "robot$palette", "old") },
		oci: func(c *oci.Config) {
			c.Auth.UsernameFile, c.Auth.PasswordFile = mounted.path("username"), mounted.path("password")
		},
	}
}

func TestAChangedPasswordEndsTheWait(t *testing.T) {
	for name, require := range map[string]func(r *ocitest.Registry, username, password string){
		"basic": (*ocitest.Registry).RequireBasic, "token": (*ocitest.Registry).RequireToken,
	} {
		t.Run(name, func(t *testing.T) {
			mounted, options := withSecret(t, require)
			atSite(t, func(s *site) {
				s.run()
				s.serves(files{"a": "two"})
				require(s.registry, "robot$palette", "new")
				s.push("2.0.0", day(3), files{"a": "new"})
				time.Sleep(3 * time.Hour)
				st := s.poller.Status()
				assert.Equal(t, oci.Unauthorized, st.Failures[0].kind())
				assert.Greater(t, time.Until(st.NextAttempt), time.Second, "it is waiting")
				s.serves(files{"a": "two"})

				mounted.swap(files{"username": "robot$palette", "password": "new\n"})
				time.Sleep(10 * time.Second)
				s.serves(files{"a": "new"})
				assert.Zero(t, s.poller.Status().ConsecutiveFailures)
			}, options)
		})
	}
}

// Many sites with one old password must not lock its account: five tries, and
// then one in half an hour, each presenting the password once.
func TestAnOldPasswordIsPresentedSeldom(t *testing.T) {
	mounted, options := withSecret(t, (*ocitest.Registry).RequireBasic)
	presented := func(s *site) (n int) {
		for _, r := range s.registry.Requests() {
			if r.Authorization != "" {
				n++
			}
		}
		return n
	}
	atSite(t, func(s *site) {
		s.registry.RequireBasic("robot$palette", "new")
		s.run()
		time.Sleep(20 * time.Second)
		assert.Equal(t, 5, presented(s), "the eager tries of the start are five too")
		s.registry.Forget()
		time.Sleep(24*time.Hour - time.Minute)
		assert.LessOrEqual(t, presented(s), 48)
		assert.GreaterOrEqual(t, presented(s), 43)

		// Another password that is wrong is another account's five tries.
		mounted.swap(files{"username": "robot$palette", "password": "also wrong"})
		s.registry.Forget()
		time.Sleep(20 * time.Second)
		assert.Equal(t, 5, presented(s))

		s.registry.Forget()
		_, _ = s.sync()
		assert.Equal(t, 1, presented(s), "a person may try at once")
		mounted.swap(files{"username": "robot$palette", "password": "new"})
		time.Sleep(3 * time.Second)
		s.serves(files{"a": "two"})
	}, options)
}

func TestAFileThatAppearsEndsTheWait(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	certificate, err := os.ReadFile(testenv.NewCA(t).File)
	require.NoError(t, err)
	for name, row := range map[string]struct {
		change  func(*oci.Config)
		says    string
		path    string
		content string
	}{
		"a CA":            {func(c *oci.Config) { c.TLS.CAFile = ca }, "source.tls.caFile", ca, string(certificate)},
		"a docker config": {func(c *oci.Config) { c.Auth.DockerConfig = ca + ".json" }, "source.auth.dockerConfig", ca + ".json", `{"auths":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			atSite(t, func(s *site) {
				s.run()
				time.Sleep(time.Hour)
				f := s.poller.Status().Failures[0]
				assert.Equal(t, oci.Misconfigured, f.kind())
				assert.Contains(t, f.Reason, row.says)
				assert.NotEmpty(t, f.Cure)
				assert.Empty(t, s.registry.Requests())
				require.NoError(t, os.WriteFile(row.path, []byte(row.content), 0o600))
				time.Sleep(3 * time.Second)
				s.serves(files{"a": "two"})
			}, siteOptions{oci: row.change})
		})
	}
}

func TestAPersonDoesNotWait(t *testing.T) {
	atSite(t, func(s *site) {
		s.run()
		at(tags, status(429, "Retry-After", "3600"))(s)
		time.Sleep(90 * time.Second)
		require.Equal(t, Failed, s.poller.Status().LastResult)
		s.registry.Heal()
		for range 3 {
			s.poller.Trigger() // SIGHUP, the registry's hook
		}
		synctest.Wait()
		assert.Equal(t, Noop, s.poller.Status().LastResult)
		begun := len(s.starts())
		time.Sleep(30 * time.Second)
		assert.Len(t, s.starts(), begun, "three are one")

		at(tags, status(429, "Retry-After", "3600"))(s)
		time.Sleep(90 * time.Second)
		s.registry.Heal()
		outcome, _ := s.sync() // the API
		assert.Equal(t, Noop, outcome.Result)
		assert.LessOrEqual(t, time.Until(s.poller.Status().NextAttempt), 66*time.Second, "the success has ended the back-off")
	})
}

// A client that meets damage has it mended soon, and no sooner than the
// registry's faults allow, however often it comes.
func TestDamageAsksForASyncAndKeepsToTheBackOff(t *testing.T) {
	atSite(t, func(s *site) {
		s.poller.Interval = time.Hour
		s.run()
		time.Sleep(2 * time.Minute)
		s.registry.Forget()
		for range 1000 {
			s.poller.TriggerRepair()
			time.Sleep(time.Millisecond)
		}
		assert.Equal(t, counts{tags: 1, head: 2}, s.registry.Counts())

		s.line.cut(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		s.sync()
		begun := len(s.starts())
		for range 60 {
			s.poller.TriggerRepair()
			time.Sleep(time.Second)
		}
		assert.Len(t, s.starts(), begun)
	})
}

// A changed configuration is another poller on the same store: it begins at
// once, whatever the one before was waiting for.
func TestAChangedConfigurationEndsTheWait(t *testing.T) {
	atSite(t, func(s *site) {
		at(tags, status(503, "Retry-After", "3600"))(s)
		s.run()
		s.registry.Heal()
		s.stop()
		s.poller = New(s.poller.Config)
		s.run()
		s.serves(files{"a": "two"})
	})
}

func TestTheCeilingOfTheWait(t *testing.T) {
	down := &oci.Error{Kind: oci.Unavailable, Status: 503, Err: errors.New("down")}
	unauthorized := &oci.Error{Kind: oci.Unauthorized, Status: 401, Err: errors.New("no")}
	s, err := store.Open(context.Background(), store.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	defer s.Close()
	p := newRigOn(t, s, newRegistry(), func(c *Config) { c.MaxBackoff = 3 * time.Minute }).poller
	var c pace
	for n := range 200 {
		wait := c.next(p, Outcome{Failures: []*Failure{fail(StageList, "", "", down)}})
		assert.LessOrEqual(t, wait, p.MaxBackoff, fmt.Sprint(n))
	}
	for range 200 {
		if wait := c.next(p, Outcome{Failures: []*Failure{fail(StageList, "", "", unauthorized)}}); c.unauthorized >= lockedOut {
			assert.GreaterOrEqual(t, wait, lockedOutWait)
		}
	}
	assert.LessOrEqual(t, c.next(p, Outcome{}), 66*time.Second)
	assert.Equal(t, pace{}, c)
}
