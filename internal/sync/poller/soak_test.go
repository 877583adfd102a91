package poller

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/oci/ocitest"
)

const (
	soakTime     = 7 * 24 * time.Hour
	soakTags     = 3 // of each source
	soakInterval = 5 * time.Minute

	// soakPerHour is the most that a source may ask of its registry in an hour.
	// Waits are 4 minutes at least (5, less a fifth, after a failure): 15 syncs. Each
	// may list (4 pages, until a list in a circle is given up), resolve every tag,
	// fetch one manifest twice, read a blob four times, and log in once more (three requests).
	soakPerHour = 15*(4+soakTags+2+4+3) + 16
)

// soaked is one source of the soak, and what was last pushed to its registry.
type soaked struct {
	*site
	name   string
	pushed map[string]string // by tag
	most   int               // requests in an hour
	all    int
}

// A week of faults, moved tags and tokens that end every 12 hours, over three
// sources: something whole is served at every moment, the registries are asked
// seldom, nothing grows, and in the end the newest is served.
func TestAWeek(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		names := []string{"first", "second", "third"}
		st, err := store.Open(context.Background(), store.Options{Dir: t.TempDir(), Keep: 1, Sources: names})
		require.NoError(t, err)
		defer st.Close()
		random := rand.New(rand.NewPCG(5, 7))
		var all []*soaked
		for _, name := range names {
			all = append(all, newSoaked(t, name, st))
		}
		for _, s := range all {
			s.run()
		}
		var healthy runtime.MemStats
		goroutines := 0
		for hour := range int(soakTime / time.Hour) {
			for _, s := range all {
				s.anHourBegins(hour, random)
			}
			for range 12 {
				time.Sleep(5*time.Minute + time.Duration(random.IntN(2000))*time.Millisecond - time.Second)
				serveWhole(t, st, all)
			}
			for _, s := range all {
				s.anHourEnds()
			}
			_, err := st.GC(false)
			require.NoError(t, err)
			if hour == 24 {
				healthy, goroutines = memory(), runtime.NumGoroutine()
			}
		}
		for _, s := range all {
			s.registry.Heal()
			s.line.cut(nil)
		}
		time.Sleep(90 * time.Minute) // the longest that a registry has asked for, and a poll

		now := memory()
		assert.Less(t, now.HeapAlloc, healthy.HeapAlloc+4<<20, "memory")
		assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines+10, "goroutines")
		assert.LessOrEqual(t, len(st.Releases()), len(all)*(soakTags+1))
		for _, s := range all {
			status := s.poller.Status()
			assert.True(t, status.Current, "%s: %+v", s.name, status.Failures)
			s.servesNewest(st)
			assert.LessOrEqual(t, s.most, soakPerHour, s.name)
			idle := int(soakTime/soakInterval) * (1 + soakTags)
			assert.LessOrEqual(t, s.all, idle*5/4, "%s: over the week little more than if nothing had happened", s.name)
			assert.GreaterOrEqual(t, s.all, idle/2, "%s: it has gone on all week", s.name)
			t.Logf("%s: %d requests, %d in the hour of most", s.name, s.all, s.most)
			s.stop()
			s.line.close()
		}
		synctest.Wait()
	})
}

func newSoaked(t *testing.T, name string, st *store.Store) *soaked {
	s := &soaked{name: name, pushed: map[string]string{}}
	s.site = newSite(t, siteOptions{
		store: st,
		prepare: func(r *ocitest.Registry) {
			r.RequireToken(name, "password")
		},
		oci: func(c *oci.Config) {
			c.Auth.Username, c.Auth.Password, c.Source, c.Logger = name, "password", name, nil
		},
		poller: func(c *Config) {
			c.Name, c.Interval, c.Logger, c.Metrics = name, soakInterval, nil, nil
		},
	})
	for n := range soakTags {
		s.move(fmt.Sprintf("%d.0.0", n+1), "at first")
	}
	return s
}

// move points a tag at new content.
func (s *soaked) move(tag, text string) {
	text = s.name + " " + tag + " " + text
	s.pushed[tag] = text
	s.push(tag, day(1), files{s.name + "/" + tag: text, "top": text})
}

// anHourBegins has something happen at the registry, most of the time.
func (s *soaked) anHourBegins(hour int, random *rand.Rand) {
	s.registry.Heal()
	s.line.cut(nil)
	if hour%12 == 11 { // ECR's way
		s.registry.ExpireTokens(func(w http.ResponseWriter) {
			ocitest.Fail(w, http.StatusForbidden, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
		})
	}
	if random.IntN(3) == 0 {
		s.move(fmt.Sprintf("%d.0.0", 1+random.IntN(soakTags)), fmt.Sprint("in hour ", hour))
	}
	rows := faults()
	if row := rows[random.IntN(len(rows))]; random.IntN(3) == 0 && row.site.prepare == nil {
		row.begin(s.site)
	}
}

func (s *soaked) anHourEnds() {
	n := len(s.registry.Requests())
	s.most, s.all = max(s.most, n), s.all+n
	s.registry.Forget()
}

func (s *soaked) servesNewest(st *store.Store) {
	v := st.Acquire()
	defer v.Close()
	for tag, want := range s.pushed {
		assert.Equal(s, want, read(s.T, v, s.name+"/"+tag))
	}
}

// serveWhole asserts that each source contributes all its tags, and that they lie
// over each other in order.
func serveWhole(t *testing.T, st *store.Store, all []*soaked) {
	v := st.Acquire()
	require.NotNil(t, v, "nothing is served")
	defer v.Close()
	require.Len(t, v.Releases(), len(all)*soakTags)
	for n, r := range v.Releases() {
		require.Equal(t, all[n/soakTags].name, r.Source)
		require.Equal(t, fmt.Sprintf("%d.0.0", soakTags-n%soakTags), r.Tag)
		require.Contains(t, read(t, v, r.Source+"/"+r.Tag), r.Source+" "+r.Tag)
	}
	require.Equal(t, read(t, v, fmt.Sprintf("first/%d.0.0", soakTags)), read(t, v, "top"))
}

func read(t *testing.T, v *store.View, path string) string {
	f, err := openIn(v, path)
	require.NoError(t, err)
	defer f.Close()
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	return string(b)
}

func memory() (m runtime.MemStats) {
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m
}
