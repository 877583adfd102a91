package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/specman/specman/internal/config"
)

// commonFlags are the keys whose flags every help shows; there are too many to
// show them all.
var commonFlags = []string{"source.repository", "source.select", "store.dir", "http.listen", "ops.listen", "log.level", "log.format"}

// foldFlags keeps the flags of all other keys out of every help. They are hidden
// only while help is printed, because a shell completes no hidden flag.
func foldFlags(root *cobra.Command) {
	standard := root.UsageFunc()
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		hideKeys(root.PersistentFlags(), true)
		defer hideKeys(root.PersistentFlags(), false)
		if err := standard(cmd); err != nil {
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStderr(), "\nEvery key of the configuration is a flag; `specman config --help` lists them all.")
		return err
	})
}

func hideKeys(flags *pflag.FlagSet, hidden bool) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[config.FlagAnnotation] != nil && !slices.Contains(commonFlags, f.Name) {
			f.Hidden = hidden
		}
	})
}

// completeWords lets the shell complete the values of keys that take a few words.
func completeWords(root *cobra.Command) {
	for _, k := range config.Keys() {
		if len(k.OneOf) > 0 {
			// The only error is a flag that is not there or has a function already.
			_ = root.RegisterFlagCompletionFunc(k.Flag(), cobra.FixedCompletions(k.OneOf, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// newHelpCommand differs from cobra's own in that an unknown command is an error.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Long:    "Print what a command does, with examples and its flags.",
		Example: "  specman help config",
		Args:    cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if len(args) == 0 {
				for _, c := range cmd.Root().Commands() {
					if c.IsAvailableCommand() {
						names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic := cmd.Root()
			for _, name := range args {
				i := slices.IndexFunc(topic.Commands(), func(c *cobra.Command) bool { return c.Name() == name || c.HasAlias(name) })
				if i < 0 {
					return usageError{unknownCommand(topic, name)}
				}
				topic = topic.Commands()[i]
			}
			topic.InitDefaultHelpFlag() // so that --help is listed
			return topic.Help()
		},
	}
}
