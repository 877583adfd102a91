package main

import (
	"errors"
	"io"
	"log/slog"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/logging"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/selector"
)

// app is what every command may use: where it reads and writes, and the
// configuration, which is loaded only when a command asks for it. One goroutine at
// a time may call its methods.
type app struct {
	env            []string
	defaultFile    string // of the configuration
	stdin          io.Reader
	stdout, stderr io.Writer

	flags  *config.Flags
	loaded *config.Loaded
	log    *slog.Logger
	// logLevel is the logger's level; set it when a reload changes log.level.
	logLevel slog.LevelVar
}

// config gives the configuration, loaded once.
func (a *app) config() (*config.Loaded, error) {
	if a.loaded != nil {
		return a.loaded, nil
	}
	loaded, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	a.loaded = loaded
	return loaded, nil
}

// loadConfig reads the configuration anew, for a service that follows its changes;
// config goes on giving the first one.
func (a *app) loadConfig() (*config.Loaded, error) {
	return config.Load(config.LoadOptions{
		Flags:            a.flags,
		Env:              a.env,
		DefaultFile:      a.defaultFile,
		ValidateSelector: validateSelector,
		ValidateExcluded: selector.CheckExcluded,
		ValidateSource:   validateSource,
		ValidateWebhook:  validateWebhook,
	})
}

func validateSelector(text string) error {
	_, err := selector.Parse(text)
	return err
}

// validateSource asks the registry's client whether it could work with a source.
// Nothing is connected to and no file is read.
func validateSource(s config.Source) error {
	unverified := unverifiable(s.Verify)
	if s.Repository == "" {
		return unverified
	}
	_, err := oci.Open(connection(&s, nil, nil)) // no logger: who uses the source hears its warnings
	return errors.Join(unverified, err)
}

// unverifiable refuses to serve as verified what nobody has verified.
func unverifiable(v config.Verify) error {
	var errs []error
	for _, asked := range []struct {
		key string
		is  bool
	}{
		{"source.verify.cosign.keys", len(v.Cosign.Keys) > 0},
		{"source.verify.notation.trustStore", v.Notation.TrustStore != ""},
		{"source.verify.notation.trustPolicy", v.Notation.TrustPolicy != ""},
		{"source.verify.strict", v.Strict},
	} {
		if asked.is {
			errs = append(errs, errors.New(asked.key+": this version cannot verify signatures yet, so it serves nothing where they are asked for; take it out to go without"))
		}
	}
	return errors.Join(errs...)
}

// validateWebhook refuses what nobody would be told by.
func validateWebhook(string) error {
	return errors.New("is not supported: this version tells nobody of swaps; take it out, and poll /api/v1/status or the metric specman_view_info instead")
}

// logger gives the logger that the configuration asks for, made once. It writes to
// stderr, and begins with the warnings that the configuration deserves.
func (a *app) logger() (*slog.Logger, error) {
	if a.log != nil {
		return a.log, nil
	}
	loaded, err := a.config()
	if err != nil {
		return nil, err
	}
	level, err := logging.ParseLevel(loaded.Config.Log.Level)
	if err != nil {
		return nil, err
	}
	a.logLevel.Set(level)
	if a.log, err = logging.New(a.stderr, loaded.Config.Log.Format, &a.logLevel); err != nil {
		return nil, err
	}
	for _, warning := range loaded.Warnings {
		a.log.Warn(warning)
	}
	return a.log, nil
}
