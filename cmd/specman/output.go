package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// outputFormat is the value of -o: how a command prints its result.
type outputFormat string

const (
	outputText outputFormat = "text"
	outputJSON outputFormat = "json"
)

// addOutput gives a command the flag -o, which is text unless set.
func addOutput(cmd *cobra.Command) *outputFormat {
	format := outputText
	cmd.Flags().VarP(&format, "output", "o", "how to print the result: text or json")
	// The only error is a flag that is not there or has a function already.
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return &format
}

// Set is called by the flag's parser.
func (f *outputFormat) Set(text string) error {
	switch outputFormat(text) {
	case outputText, outputJSON:
		*f = outputFormat(text)
		return nil
	}
	return fmt.Errorf("allowed are %s and %s", outputText, outputJSON)
}

// String is the format's word.
func (f *outputFormat) String() string { return string(*f) }

// Type names the flag's value in help.
func (f *outputFormat) Type() string { return "format" }

// writeJSON prints a result for programs: indented, one final line break, and <, >
// and & as they are.
func writeJSON(w io.Writer, result any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(result); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
