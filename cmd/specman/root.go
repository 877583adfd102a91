package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/specman/specman/internal/config"
)

// The groups under which help lists the commands; each command sets its GroupID.
const (
	groupService = "service"
	groupStore   = "store"
	groupContent = "content"
	groupOther   = "other"
)

// commands makes every command but help and completion; a new one is a file with
// its constructor and a line here.
func commands(app *app) []*cobra.Command {
	return []*cobra.Command{
		newServeCommand(app),
		newSyncCommand(app),
		newDoctorCommand(app),
		newStatusCommand(app),
		newReleasesCommand(app),
		newDiffCommand(app),
		newRollbackCommand(app),
		newPinCommand(app),
		newUnpinCommand(app),
		newForgetCommand(app),
		newVerifyCommand(app),
		newGCCommand(app),
		newPackCommand(app),
		newPushCommand(app),
		newInspectCommand(app),
		newExportCommand(app),
		newImportCommand(app),
		newConfigCommand(app),
		newVersionCommand(app),
	}
}

func newRootCommand(app *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "specman",
		Short: "Serve what was pushed to an OCI repository",
		Long: `Specman polls an OCI repository, pulls the archive that was pushed with
` + "`oras push`" + `, keeps it in a versioned store and serves the tree over HTTPS. It
takes the place of the SCAR web server of Palette.

The last good tree is always served: no fault of the registry, an archive, the
disk or a certificate takes it away.`,
		Example: `  # serve what is pushed to a registry
  specman serve --source.repository harbor.example.com/spectro-packs/spectro-manifests/manifest

  # what is configured, and where each value came from
  specman config`,
		SilenceErrors: true, // report prints them
		SilenceUsage:  true,
	}
	root.SetIn(app.stdin)
	root.SetOut(app.stdout)
	root.SetErr(app.stderr)
	root.AddGroup(
		&cobra.Group{ID: groupService, Title: "The service:"},
		&cobra.Group{ID: groupStore, Title: "The store:"},
		&cobra.Group{ID: groupContent, Title: "Content:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)

	app.flags = config.AddFlags(root.PersistentFlags())
	completeWords(root)
	root.SetFlagErrorFunc(flagError)
	foldFlags(root)

	root.AddCommand(commands(app)...)
	root.SetHelpCommand(newHelpCommand())
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	strictUsage(root)
	return root
}

// strictUsage makes wrong arguments of every command a usage error: cobra takes
// any arguments where a command names no rule, and prints help for an unknown
// command below another.
func strictUsage(cmd *cobra.Command) {
	for _, below := range cmd.Commands() {
		strictUsage(below)
	}
	check := cmd.Args
	if cmd.HasSubCommands() && !cmd.Runnable() {
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		check = knownCommand
	}
	if check == nil {
		check = noArgs
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err == nil {
			return nil
		}
		if cureOf(err) == "" {
			err = withCure(err, fmt.Sprintf("usage: %s; see `%s --help`", cmd.UseLine(), cmd.CommandPath()))
		}
		return usageError{err}
	}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, but was given %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// oneVersion refuses more than the one VERSION that a command may be given.
func oneVersion(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%s takes one VERSION, but was given %d", cmd.CommandPath(), len(args))
	}
	return nil
}

// knownCommand refuses arguments of a command that only has commands below it.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(parent *cobra.Command, name string) error {
	parent.SuggestionsMinimumDistance = min(2, 1+len(name)/5) // letters that may differ
	cure := fmt.Sprintf("`%s --help` lists the commands", parent.CommandPath())
	if similar := parent.SuggestionsFor(name); len(similar) > 0 {
		cure = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return withCure(fmt.Errorf("unknown command %q for %q", name, parent.CommandPath()), cure)
}

// flagError is what a wrong flag ends in. The values of flags are not in it: those
// of the configuration never fail here.
func flagError(cmd *cobra.Command, err error) error {
	cure := fmt.Sprintf("`%s --help` lists the flags", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if best := config.Nearest(unknown.GetSpecifiedName()); best != "" {
			cure = "did you mean --" + best + "?"
		}
	}
	return usageError{withCure(err, cure)}
}
