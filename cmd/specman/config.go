package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/specman/specman/internal/config"
)

func newConfigCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Print the effective configuration and where each value came from",
		GroupID: groupOther,
		Long: `Print the configuration as the other commands see it, each value with the place
it came from. Secrets are redacted. The output is itself a configuration file.

There are four places. Flags win over the environment, that over the file, that
over the defaults:

  file         --config FILE or SPECMAN_CONFIG, else /etc/specman/config.yaml if it
               is there; the parts of a key are nested, as in
                 source:
                   repository: harbor.example.com/spectro-packs/spectro-manifests/manifest
                   interval: 1m
  environment  SPECMAN_ and the key in capitals, dots as underscores:
               SPECMAN_SOURCE_INTERVAL=1m
  flags        the key as it is: --source.interval=1m

In environment and flags a list is separated by commas, or is a JSON array if it
begins with [; a list flag may be repeated. An empty variable counts as not set.
Durations are Go's (90s, 5m, 12h), sizes take Ki, Mi, Gi and Ti.

A wrong configuration ends with status 2 and names every mistake, so this command
is also how to check a file before it is used.`,
		Example: `  # check a file before it is rolled out
  specman config --config new.yaml > /dev/null && echo good

  # what is not as it comes
  specman config | grep -v '# from default'

  # one value, for a script
  specman config -o json | jq -r '.values["source.interval"].value'`,
	}
	format := addOutput(cmd)
	reference := cmd.Flags().Bool("reference", false, "print the table of all keys as Markdown instead")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *reference {
			return config.WriteReference(app.stdout)
		}
		loaded, err := app.config()
		if err != nil {
			return err
		}
		for _, warning := range loaded.Warnings {
			fmt.Fprintln(app.stderr, "specman: warning:", warning)
		}
		return loaded.Print(app.stdout, string(*format))
	}

	help := cmd.HelpFunc()
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		help(cmd, args)
		fmt.Fprintln(app.stdout, "\nAll keys, each as flag and as environment variable:")
		if err := config.WriteKeys(app.stdout); err != nil {
			fmt.Fprintln(app.stderr, "specman: print the keys:", err)
		}
	})
	return cmd
}
