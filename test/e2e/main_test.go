// Package e2e holds Specman against its promises from outside: the real program,
// real registries, real oras, real sockets on 127.0.0.1. Nothing of Specman is
// imported but the test environment; what is asserted is what users, operators
// and Prometheus see.
//
// SPECMAN_TORTURE=1 runs the long forms (`make torture`).
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// torture says whether the long forms are wanted.
var torture = os.Getenv("SPECMAN_TORTURE") != ""

// binaries is the folder of the programs under test. Every uid may run them.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "specman-e2e-"); err == nil {
		err = os.Chmod(binaries, 0o755)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(binaries)
	os.Exit(status)
}

// A build is one way to compile the program; each is compiled once, when a test
// first asks for it.
type build struct {
	name string
	env  []string
	args []string

	once sync.Once
	path string
	err  error
}

var (
	// static is what the image holds.
	static = &build{name: "specman", env: []string{"CGO_ENABLED=0"}}
	// raced says so, and ends with status 66, when it sees a data race.
	raced = &build{name: "specman-race", args: []string{"-race"}}
	// crashing kills itself at the durable step that SPECMAN_CRASH_AT numbers.
	crashing = &build{name: "specman-crash", env: []string{"CGO_ENABLED=0"}, args: []string{"-tags", "crashpoints"}}
)

func (b *build) program(t testing.TB) string {
	t.Helper()
	b.once.Do(func() {
		b.path = filepath.Join(binaries, b.name)
		cmd := exec.Command("go", append(append([]string{"build", "-o", b.path}, b.args...), "./cmd/specman")...)
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), b.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
	})
	require.NoError(t, b.err)
	return b.path
}
