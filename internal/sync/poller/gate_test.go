package poller

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A small tree that one tag brought is pushed by mistake under another one: that it
// is held already does not make it what was meant.
func TestGateJudgesWhatIsHeldAlready(t *testing.T) {
	full, small := files{"a": "1", "b": "2", "c": "3", "d": "4"}, files{"a": "small"}
	for _, row := range []struct {
		name   string
		config func(*Config)
		reason string
	}{
		{"what would vanish", func(c *Config) { c.Gate.MaxVanishedPercent = 50 }, "3 of the 4 files"},
		{"what a command says", func(c *Config) {
			c.Gate.Command, c.Gate.Timeout = []string{"sh", "-c", `grep -qv small "$0/a"`}, time.Minute
		}, "gate.command"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0", "1.0.0") })
			r.registry.push(t, "0.0.0", day(1), full)
			r.registry.push(t, "1.0.0", day(1), small)
			require.Equal(t, Success, r.sync().Result)
			row.config(&r.poller.Config)

			r.registry.push(t, "0.0.0", day(2), small)
			r.registry.asked()
			o := r.sync()
			require.Len(t, o.Failures, 1)
			assert.Equal(t, StageGate, o.Failures[0].Stage)
			assert.Contains(t, o.Failures[0].Reason, row.reason)
			assert.Equal(t, Refused, r.state("0.0.0"))
			r.serves(full)
			assert.NotContains(t, r.registry.asked(), "blob")

			assert.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true}).Result)
			r.serves(files{"a": "small", "b": ""})
		})
	}
}

// What a person let pass is not judged again because its manifest is a new one, or
// because its tree was damaged.
func TestGateDoesNotJudgeTwice(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "1", "b": "2"})
	r.sync()
	r.poller.Gate.RequirePaths = []string{"/b"}
	r.registry.push(t, "0.0.0", day(2), files{"a": "3"})
	require.Equal(t, Failed, r.sync().Result)
	require.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true}).Result)

	r.registry.push(t, "0.0.0", day(3), files{"a": "3"})
	assert.Equal(t, Success, r.sync().Result, "another manifest")
	r.damage("a")
	assert.Equal(t, Success, r.sync().Result, "a repair")
	r.serves(files{"a": "3"})
}

// A gate that cannot be asked holds everything back, and is asked again: the release is
// not at fault.
func TestAGateThatCannotBeAsked(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "1"})
	r.sync()
	program := filepath.Join(t.TempDir(), "gate")
	r.poller.Gate.Command, r.poller.Gate.Timeout = []string{program}, time.Minute
	r.registry.push(t, "0.0.0", day(2), files{"a": "2"})
	for range 2 {
		o := r.sync()
		require.Len(t, o.Failures, 1)
		assert.Equal(t, StageGate, o.Failures[0].Stage)
		assert.Contains(t, o.Failures[0].Cure, "check gate.command")
		assert.Equal(t, Behind, r.state("0.0.0"))
		r.serves(files{"a": "1"})
	}
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "2"})
}

// A tag that moves back to a digest that is held is judged as one that is pushed: another
// replica may not hold it.
func TestGateJudgesATagThatMovesBack(t *testing.T) {
	full, small := files{"a": "1", "b": "2", "c": "3", "d": "4"}, files{"a": "small"}
	for _, row := range []struct {
		name   string
		config func(*Config)
		reason string
	}{
		{"what would vanish", func(c *Config) { c.Gate.MaxVanishedPercent = 50 }, "3 of the 4 files"},
		{"what is required", func(c *Config) { c.Gate.RequirePaths = []string{"/b"} }, "/b"},
		{"what a command says", func(c *Config) {
			c.Gate.Command, c.Gate.Timeout = []string{"sh", "-c", `grep -qv small "$0/a"`}, time.Minute
		}, "gate.command"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
			held := r.registry.push(t, "0.0.0", day(1), small)
			r.sync()
			served := r.registry.push(t, "0.0.0", day(2), full)
			require.Equal(t, Success, r.sync().Result)
			row.config(&r.poller.Config)
			require.Equal(t, Noop, r.sync().Result, "what is served is not judged again")

			r.registry.point("0.0.0", held)
			o := r.sync()
			require.Len(t, o.Failures, 1)
			assert.Equal(t, StageGate, o.Failures[0].Stage)
			assert.Contains(t, o.Failures[0].Reason, row.reason)
			assert.Equal(t, Refused, r.state("0.0.0"))
			r.serves(full)

			r.registry.asked()
			assert.Equal(t, Noop, r.sync().Result, "it is remembered")
			assert.Equal(t, []string{"tags", "head 0.0.0"}, r.registry.asked())
			r.registry.point("0.0.0", served)
			assert.Equal(t, Noop, r.sync().Result)
			assert.Equal(t, Current, r.state("0.0.0"))

			r.registry.point("0.0.0", held)
			assert.Equal(t, Noop, r.sync().Result)
			assert.Equal(t, Success, r.poller.Once(context.Background(), Ask{Force: true, By: "eve"}).Result)
			r.serves(files{"a": "small", "b": ""})
			assert.Contains(t, r.byHand()[0], "was refused at gate before")
			assert.Equal(t, Noop, r.sync().Result, "and stays passed")
			assert.Equal(t, Current, r.state("0.0.0"))
			assert.Empty(t, r.store.Refusals("default"))

			r.registry.point("0.0.0", served)
			o = r.sync()
			assert.Equal(t, Success, o.Result, "what the gate likes comes back by itself")
			assert.Empty(t, o.Got, "nothing is got for it")
			r.serves(full)
		})
	}
}

// What a tag moves back to waits for what another one brings, as what is pushed does.
func TestATagThatMovesBackBesideAnother(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0", "1.0.0") })
	held := r.registry.push(t, "0.0.0", day(1), files{"a": "1"})
	r.registry.push(t, "1.0.0", day(1), files{"b": "1"})
	r.sync()
	r.registry.push(t, "0.0.0", day(2), files{"a": "2", "must": "2"})
	require.Equal(t, Success, r.sync().Result)
	r.poller.Gate.RequirePaths = []string{"/must"}
	r.registry.point("0.0.0", held)
	require.Equal(t, Failed, r.sync().Result)
	r.registry.push(t, "1.0.0", day(3), files{"must": "3"})
	assert.Equal(t, Success, r.sync().Result)
	r.serves(files{"a": "1", "must": "3"})
}

// It is the same where the held layer comes back under a new manifest.
func TestGateJudgesALayerThatComesBack(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "1"})
	r.sync()
	r.registry.push(t, "0.0.0", day(2), files{"a": "2", "must": "2"})
	r.sync()
	r.poller.Gate.RequirePaths = []string{"/must"}
	r.registry.push(t, "0.0.0", day(3), files{"a": "1"})
	assert.Equal(t, Failed, r.sync().Result)
	r.serves(files{"a": "2", "must": "2"})
}

// A command that writes in the tree harms what is served, too: nothing wrong is served, and
// the same sync fetches it anew.
func TestAGateThatWritesInTheTree(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Select = selectors(t, "0.0.0") })
	r.registry.push(t, "0.0.0", day(1), files{"a": "same", "b": "1"})
	r.sync()
	r.poller.Gate.Command, r.poller.Gate.Timeout = []string{"sh", "-c", `chmod u+w "$0/a"; echo harm >"$0/a"`}, time.Minute
	r.registry.push(t, "0.0.0", day(2), files{"a": "same", "b": "2"})
	o := r.sync()
	require.NotEmpty(t, o.Failures)
	assert.Equal(t, StageGate, o.Failures[0].Stage)
	assert.Contains(t, o.Failures[0].Reason, `"/a" is not what it was`)
	assert.Contains(t, o.Failures[0].Cure, "mend gate.command")
	r.serves(files{"a": "same", "b": "1"})
	assert.Equal(t, Noop, r.sync().Result, "it is remembered")
}
