package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and revision are set when a release is built:
// -ldflags "-X main.version=1.2.3 -X main.revision=0123abc".
var version, revision string

// buildInfo is which Specman this is; its JSON is what `version -o json` prints.
type buildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"` // commit; "unknown" where the build did not say
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"` // as linux/amd64
}

// build reads what the linker was told, and else what Go itself notes in a program.
func build() buildInfo {
	b := buildInfo{
		Version:   version,
		Revision:  revision,
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.fillFrom(info)
	}
	b.Version = cmp.Or(b.Version, "devel")
	b.Revision = cmp.Or(b.Revision, "unknown")
	return b
}

func (b *buildInfo) fillFrom(info *debug.BuildInfo) {
	if b.Version == "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if b.Revision == "" {
		b.Revision = settings["vcs.revision"]
		if b.Revision != "" && settings["vcs.modified"] == "true" {
			b.Revision += "-modified"
		}
	}
}

func newVersionCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print which Specman this is",
		GroupID: groupOther,
		Long: `Print the version, the commit it was built from, the Go version and the platform.

The running service tells the same in the metric specman_build_info.`,
		Example: `  specman version
  specman version -o json | jq -r .version`,
	}
	format := addOutput(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		b := build()
		if *format == outputJSON {
			return writeJSON(app.stdout, b)
		}
		_, err := fmt.Fprintf(app.stdout, "specman %s\nrevision: %s\ngo: %s\nplatform: %s\n", b.Version, b.Revision, b.GoVersion, b.Platform)
		return err
	}
	return cmd
}
