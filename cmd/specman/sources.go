package main

import (
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/specman/specman/internal/config"
	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/oci"
	"github.com/specman/specman/internal/sync/poller"
	"github.com/specman/specman/internal/sync/selector"
)

// syncMetrics are the metrics of everything that brings releases in; the zero
// value counts nothing.
type syncMetrics struct {
	poller *poller.Metrics
	oci    *oci.Metrics
}

func newSyncMetrics(reg prometheus.Registerer, cfg *config.Config) syncMetrics {
	if reg == nil {
		return syncMetrics{}
	}
	names := sourceNames(cfg)
	return syncMetrics{poller: poller.NewMetrics(reg, names), oci: oci.NewMetrics(reg, names)}
}

// add makes the series of sources that a changed configuration brings.
func (m syncMetrics) add(names []string) {
	m.poller.Add(names)
	m.oci.Add(names)
}

// remove takes the series of sources away that it has taken out.
func (m syncMetrics) remove(names []string) {
	m.poller.Remove(names)
	m.oci.Remove(names)
}

func sourceNames(cfg *config.Config) []string {
	var names []string
	for _, s := range cfg.Sources {
		names = append(names, s.Name)
	}
	return names
}

// plan is all of a configuration that a poller is made of: pollers of equal plans do the
// same.
type plan struct {
	source config.Source
	limits archive.Limits
	gate   gate.Rules
}

// plansOf are those of the sources that have a repository.
func plansOf(cfg *config.Config) (plans []plan) {
	for _, s := range cfg.Sources {
		if s.Repository != "" {
			plans = append(plans, plan{s, archiveLimits(cfg), gate.Rules(cfg.Gate)})
		}
	}
	return plans
}

// poller makes the poller of a plan. Nothing is asked over the network.
func (p *plan) poller(st *store.Store, m syncMetrics, log *slog.Logger) (*poller.Poller, error) {
	s := &p.source
	repository, err := oci.Open(connection(s, m.oci, log))
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.Name, err)
	}
	selectors, err := selector.ParseAll(s.Select)
	if err != nil {
		return nil, fmt.Errorf("source %s: %w", s.Name, err)
	}
	return poller.New(poller.Config{
		Name: s.Name, Repository: repository.String(), Source: repository,
		Select: selectors, Exclude: s.Exclude, MaxReleases: s.MaxReleases, Archive: s.Archive,
		Limits:   p.limits,
		Interval: s.Interval, Timeout: s.Timeout, MaxBackoff: s.MaxBackoff,
		Gate:  p.gate,
		Store: st, Metrics: m.poller, Logger: log,
	}), nil
}

// connection is how a source's repository is reached.
func connection(s *config.Source, m *oci.Metrics, log *slog.Logger) oci.Config {
	c := oci.Config{
		Repository: s.Repository, PlainHTTP: s.PlainHTTP,
		Timeout: s.Timeout, StallTimeout: s.StallTimeout,
		Source: s.Name, UserAgent: "specman/" + build().Version, Metrics: m, Logger: log,
	}
	c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile = s.TLS.CAFile, s.TLS.CertFile, s.TLS.KeyFile
	c.TLS.InsecureSkipVerify = s.TLS.InsecureSkipVerify
	a := &s.Auth
	c.Auth.Provider, c.Auth.DockerConfig = a.Provider, a.DockerConfig
	c.Auth.Username, c.Auth.UsernameFile = a.Username, a.UsernameFile
	c.Auth.Password, c.Auth.PasswordFile = string(a.Password), a.PasswordFile
	c.Auth.Token, c.Auth.TokenFile = string(a.Token), a.TokenFile
	c.Auth.ECR.Region, c.Auth.ECR.RoleARN, c.Auth.ECR.ExternalID = a.ECR.Region, a.ECR.RoleARN, a.ECR.ExternalID
	c.Auth.ECR.AccessKey, c.Auth.ECR.AccessKeyFile = string(a.ECR.AccessKey), a.ECR.AccessKeyFile
	c.Auth.ECR.SecretKey, c.Auth.ECR.SecretKeyFile = string(a.ECR.SecretKey), a.ECR.SecretKeyFile
	return c
}
