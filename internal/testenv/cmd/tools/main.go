// Command tools builds the named test tools where they are missing, all of them
// if none is named, and prints the path of each.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/specman/specman/internal/testenv/tools"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	names := os.Args[1:]
	if len(names) == 0 {
		names = tools.Names()
	}
	for _, name := range names {
		path, err := tools.Build(ctx, name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tools:", err)
			os.Exit(1)
		}
		fmt.Println(path)
	}
}
