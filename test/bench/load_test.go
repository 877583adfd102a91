package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseWrk(t *testing.T) {
	got, err := parseWrk([]byte("Running 1s test\n  1 threads\nRESULT 5000 2000000 123456 0\n"))
	require.NoError(t, err)
	assert.Equal(t, result{Requests: 5000, Seconds: 2, Bytes: 123456}, got)

	_, err = parseWrk([]byte("RESULT 5000 2000000 123456 7\n"))
	assert.ErrorContains(t, err, "7 requests failed")
	_, err = parseWrk([]byte("unable to connect\n"))
	assert.Error(t, err)
}

// h2loadOutput is what h2load 1.52 prints after a second of load.
const h2loadOutput = `starting benchmark...
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2

finished in 1.01s, 2000.00 req/s, 20.90MB/s
requests: 1000 total, 1128 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 1002 2xx, 0 3xx, 0 4xx, 0 5xx
`

func TestParseH2load(t *testing.T) {
	got, err := parseH2load([]byte(h2loadOutput))
	require.NoError(t, err)
	assert.Equal(t, result{Requests: 1000, Seconds: 0.5}, got)

	for name, change := range map[string]struct{ from, to string }{
		"failed requests":  {"1000 succeeded, 0 failed", "990 succeeded, 10 failed"},
		"another protocol": {"Application protocol: h2\n", "Application protocol: http/1.1\n"},
		"no answer":        {"2000.00 req/s", "0.00 req/s"},
		"no result":        {"finished in", "stopped after"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, h2loadOutput, change.from)
			_, err := parseH2load([]byte(strings.Replace(h2loadOutput, change.from, change.to, 1)))
			assert.Error(t, err)
		})
	}
}

func TestParseCurl(t *testing.T) {
	line := "104857600 0.250000 200\n"
	got, err := parseCurl([]byte(line+line), 2)
	require.NoError(t, err)
	assert.Equal(t, result{Requests: 200, Seconds: 0.5}, got)

	for name, out := range map[string]string{
		"one is missing": line,
		"one is short":   line + "104857599 0.250000 200\n",
		"one is refused": line + "104857600 0.250000 503\n",
		"no figures":     "curl: (7) Failed to connect\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseCurl([]byte(out), 2)
			assert.Error(t, err)
		})
	}
}

func TestLimitedByLoad(t *testing.T) {
	run := func(server, load float64) measured {
		const second = 1e9
		return measured{nginxName: {{wall: second, serverCPU: time.Duration(server * second), loadCPU: time.Duration(load * second)}}}
	}
	pinned := &bench{machine: machine{taskset: "taskset", loadCount: 1}}
	assert.Empty(t, pinned.limitedByLoad(run(.98, .99)))
	assert.Equal(t, []string{nginxName}, pinned.limitedByLoad(run(.6, .97)))
	assert.Empty(t, pinned.limitedByLoad(run(.6, .5)), "neither was full")
	assert.Empty(t, (&bench{}).limitedByLoad(run(.6, .97)), "nothing is pinned: shares say nothing")
	assert.Equal(t, "60 / 97 %", run(.6, .97).shares(nginxName, 1))
}
