package poller

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// byHand are the messages of the history about syncs that somebody asked for.
func (r *rig) byHand() (messages []string) {
	for _, e := range r.store.Events() {
		if e.Kind == "sync" {
			messages = append(messages, e.Message)
		}
	}
	return messages
}

func TestWhoAskedForASync(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	ask := func(ask Ask) Outcome { return r.poller.Once(context.Background(), ask) }
	r.registry.push(t, "0.0.0", day(1), files{"a": "1", "b": "2"})
	require.Equal(t, Success, r.sync().Result)
	assert.Empty(t, r.byHand(), "nobody asked for it")

	require.Equal(t, Noop, ask(Ask{By: "cron"}).Result)
	assert.Empty(t, r.byHand(), "it changed nothing")

	r.registry.push(t, "0.0.0", day(2), files{"a": "2", "b": "2"})
	require.Equal(t, Success, ask(Ask{By: "the control socket"}).Result)
	assert.Equal(t, []string{"sync, by the control socket: got 0.0.0; what is served has changed"}, r.byHand())

	r.poller.Gate.RequirePaths = []string{"/b"}
	refused := r.registry.push(t, "0.0.0", day(3), files{"a": "3"})
	require.Equal(t, Failed, r.sync().Result)
	require.Equal(t, Success, ask(Ask{Force: true, By: "eve"}).Result)
	require.Len(t, r.byHand(), 2)
	assert.Equal(t, "forced sync, by eve: got 0.0.0; 0.0.0 ("+refused.String()+") was refused at gate before; what is served has changed", r.byHand()[1])

	require.Equal(t, Noop, ask(Ask{Force: true, By: "eve"}).Result)
	assert.Equal(t, "forced sync, by eve: nothing changed", r.byHand()[2], "whoever overrules is noted anyway")

	r.registry.push(t, "0.0.0", day(4), files{"a": "4", "b": "2"})
	r.sync()
	_, err := r.store.Forget(refused.String(), "")
	require.NoError(t, err)
	ask(Ask{Force: true, By: "adam"})
	assert.Contains(t, r.byHand()[3], "forced sync, by adam: took back 0.0.0")
	var back string
	for _, e := range r.store.Events() {
		if strings.HasPrefix(e.Message, "took back") {
			back = e.Message
		}
	}
	assert.Equal(t, "took back 0.0.0 ("+refused.String()+"), by adam", back)
}

func TestAskers(t *testing.T) {
	all := Ask{}
	for _, by := range []string{"", "a", "b", "a", ""} {
		all = all.and(Ask{By: by})
	}
	assert.Equal(t, "a and b", all.By)
	for range 100 {
		all = all.and(Ask{By: strings.Repeat("x", len(all.By)%50+1)})
	}
	assert.Less(t, len(all.By), 2*maxAskers)
}
