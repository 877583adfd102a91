package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// The bounds that protect the server from its clients. Calls that take longer by
// their nature (a sync that is waited for, a profile) lift the deadlines.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	// shutdownGrace is how long requests under way may take to end.
	shutdownGrace = 5 * time.Second
)

// Server is the ops server. Make it with New, Start it, and Run it.
type Server struct {
	opts    Options
	log     *slog.Logger
	token   *token
	hooks   *coalescer
	started time.Time
	ready   atomic.Bool // once set, it stays

	ctx  context.Context // ends when the server is to end
	stop context.CancelFunc

	listener net.Listener // TCP; nil until Start
	control  net.Listener // nil where there is none
}

// New makes a server that does not listen yet, and registers its metrics.
func New(opts Options) *Server {
	opts.complete()
	s := &Server{opts: opts, log: opts.Logger, started: time.Now()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.token = newToken(opts.TokenFile, s.log)
	s.hooks = newCoalescer(hookInterval, s.triggerAll)
	registerMetrics(opts.Registerer, opts.Version, opts.Revision, s.isReady)
	return s
}

// Start begins to listen, so that Addr is known and clients can connect; they
// are answered from Run on. A control socket that cannot be made is warned
// about. The caller holds the store's lock.
func (s *Server) Start() error {
	if s.opts.Socket != "" {
		control, err := listenControl(s.opts.Socket)
		if err != nil {
			s.log.Warn("no control socket: the commands cannot reach the service", "socket", s.opts.Socket, "error", err,
				"cure", "set control.socket to a path in a folder that the service may write")
		} else {
			s.control = control
		}
	}
	listener, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		s.closeListeners()
		return fmt.Errorf("listen for metrics, health and API (ops.listen): %w", err)
	}
	s.listener = listener
	return nil
}

// Addr returns the TCP address on which the server listens; nil before Start.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run answers until ctx ends, then lets what is under way end, for a few
// seconds, and closes the listeners. Start must have gone well.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	serve := func(l net.Listener, trusted bool) {
		server := s.httpServer(s.routes(trusted))
		group.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve metrics, health and API on %s: %w", l.Addr(), err)
			}
			return nil
		})
		group.Go(func() error {
			<-ctx.Done()
			s.stop() // who waits for a sync is told that it will not end
			grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
			defer cancel()
			if server.Shutdown(grace) != nil {
				server.Close()
			}
			return nil
		})
	}
	serve(s.listener, false)
	if s.control != nil {
		serve(s.control, true)
	}
	err := group.Wait()
	s.hooks.stop()
	s.closeListeners()
	return err
}

func (s *Server) closeListeners() {
	for _, l := range []net.Listener{s.listener, s.control} {
		if l != nil {
			l.Close()
		}
	}
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:                      h,
		DisableGeneralOptionsHandler: true, // OPTIONS is refused like any other method
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		BaseContext:                  func(net.Listener) context.Context { return s.ctx },
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}
