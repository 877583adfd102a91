package ops

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/importer"
	"github.com/specman/specman/internal/sync/poller"
)

// Store is what the server tells about and acts on. It is used by many goroutines.
type Store interface {
	Mover
	Keeper
	// Snapshot returns what is held and served now; the server closes it.
	Snapshot() *store.Snapshot
}

// Poller is one polled source. Its methods are called by many goroutines; only
// Sync may take its time.
type Poller interface {
	Status() poller.Status
	// Trigger asks for a sync now; several before it begins are one.
	Trigger()
	// Sync asks for a sync now and waits for it.
	Sync(ctx context.Context, ask poller.Ask) (poller.Outcome, error)
}

// Options is all that a Server can be told. Store must be set; everything else
// may be zero.
type Options struct {
	Listen    string // TCP address, like ":8080"
	Socket    string // path of the control socket, of any length; empty: none
	TokenFile string // bearer token of the calls that change something; empty: refused on TCP
	Pprof     bool   // profiles under /debug/pprof/

	Store Store
	// Pollers are the sources' that are polled now, the top of the view first;
	// a new configuration may bring others. Nil: none.
	Pollers func() []Poller
	// Notices are what else a person should know now; nil: nothing.
	Notices func() []Notice

	// Import puts an archive into the store; nil: nothing can be imported.
	Import func(ctx context.Context, body io.Reader, r ImportRequest) (importer.Result, error)

	// TakeBack undoes the forgetting of what is held and nobody polls, as imports; nil:
	// nothing is ever taken back. The rest, its source's own forced sync takes back. By is
	// who asked for it.
	TakeBack func(by string) ([]store.Release, error)

	Gatherer   prometheus.Gatherer   // what /metrics shows; nil: nothing
	Registerer prometheus.Registerer // nil: no metrics of its own
	Logger     *slog.Logger          // nil: none

	Version, Revision string // of this program
	Replica           string // whom answers name; empty: the host's name, which is the pod's
}

func (o *Options) complete() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Gatherer == nil {
		o.Gatherer = prometheus.NewRegistry()
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	if o.Pollers == nil {
		o.Pollers = func() []Poller { return nil }
	}
	if o.Notices == nil {
		o.Notices = func() []Notice { return nil }
	}
	if o.TakeBack == nil {
		o.TakeBack = func(string) ([]store.Release, error) { return nil, nil }
	}
	if o.Replica == "" {
		o.Replica = Replica()
	}
}

// Replica is the name by which a replica tells itself from the others: the
// host's, which in Kubernetes is the pod's.
func Replica() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "unknown"
}
