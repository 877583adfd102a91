// Command specman polls an OCI repository and serves the tree that was pushed to
// it over HTTPS; `specman help` lists what else it can do.
//
// This package is the only one that knows all the others: it reads the
// configuration, gives each package its part of it, and owns exit statuses and
// what is printed. One command is one file.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/specman/specman/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status: 0 done, 1 failed, 2 wrong usage
// or configuration. It uses nothing of the process but what it is given, so that
// tests can run it many times, and at the same time.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &app{env: env, defaultFile: config.DefaultFile, stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCommand(app)
	root.SetArgs(append([]string{}, args...)) // never nil: cobra would read os.Args
	return report(stderr, root.ExecuteContext(ctx))
}
