package httpserve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers for the tree. Make one with New, then call Serve and, from
// another goroutine, Shutdown.
type Server struct {
	opts        Options
	log         *slog.Logger
	metrics     *metrics
	cache       *bodyCache // nil: no cache
	faults      *faults
	listings    *listingRoom
	certificate *certificate
	clientCA    *clientCA // nil: clients need no certificate
	users       *users    // nil: no login
	http        *http.Server
	listener    atomic.Pointer[listener] // nil until Serve

	stop       context.CancelFunc // ends the background work
	background context.Context
	running    sync.WaitGroup
}

// New makes a server. It reads or makes the certificate, but listens to nothing
// yet. Files that are there but of no use are logged, not returned as an error:
// they are re-read when they change.
func New(opts Options) (*Server, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	opts.MaxConnections = connectionsWithin(opts.MaxConnections, openFiles(), opts.Logger)
	s := &Server{
		opts:     opts,
		log:      opts.Logger,
		faults:   &faults{log: opts.Logger, seen: make(map[[sha256.Size]byte]time.Time)},
		listings: newListingRoom(opts.limits),
	}
	var err error
	if s.cache, err = newBodyCache(opts.CacheBytes); err != nil {
		s.log.Warn("There is no memory for small bodies, each is read from the disk; lower http.cacheBytes, or raise the process's limit of memory", "http.cacheBytes", opts.CacheBytes, "error", err)
	}
	if s.certificate, err = newCertificate(opts.TLS, s.log); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	if opts.TLS.ClientCAFile != "" {
		s.clientCA = newClientCA(opts.TLS.ClientCAFile, s.log)
	}
	if opts.HtpasswdFile != "" {
		s.users = newUsers(opts.HtpasswdFile, s.log)
	}
	s.metrics = newMetrics(opts.Registerer, s.certificate.notAfter)
	s.background, s.stop = context.WithCancel(context.Background())
	limits := opts.limits
	s.http = &http.Server{
		Handler:                      s.routes(),
		DisableGeneralOptionsHandler: true,
		TLSConfig:                    tlsConfig(s.certificate, s.clientCA),
		ReadHeaderTimeout:            limits.readHeader,
		IdleTimeout:                  limits.idle,
		MaxHeaderBytes:               limits.headers,
		// No WriteTimeout: it would cut a slow download that moves. What does
		// not move is closed below the connection, see listener.
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: limits.streams},
		// Handshakes that scanners break off, and the like.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.http.ConnContext = s.keepConn
	return s, nil
}

// Handler answers requests as Serve does, without TLS and the limits of
// connections.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// Listen opens the TLS port, so that a port that is taken is known before
// Serve.
func (s *Server) Listen(ctx context.Context) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTPS (http.listen): %w", err)
	}
	return l, nil
}

// Serve answers on a listener until Shutdown, then returns nil. It is called
// once.
func (s *Server) Serve(l net.Listener) error {
	return s.serveOn(newListener(l, s.opts.MaxConnections, s.opts.limits))
}

func (s *Server) serveOn(l *listener) error {
	s.listener.Store(l)
	s.running.Go(func() { l.closeStalled(s.background) })
	s.running.Go(func() { watch(s.background, s.opts.limits.poll, s.checkFiles) })
	err := s.http.ServeTLS(l, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve HTTPS: %w", err)
}

// checkFiles re-reads what has changed.
func (s *Server) checkFiles() {
	s.certificate.check()
	if s.clientCA != nil {
		_ = s.clientCA.check(false) // it reports by itself
	}
	if s.users != nil {
		_ = s.users.check(false) // it reports by itself
	}
}

// Shutdown stops accepting, and lets the answers that are under way end until
// ctx is done, to their last byte in the client's hands; then it cuts those that
// are left, and says so by ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	l := s.listener.Load()
	err := s.http.Shutdown(ctx)
	if err == nil && l != nil {
		err = l.waitLingering(ctx)
	}
	if err != nil {
		if l != nil {
			l.cutLingering()
		}
		_ = s.http.Close() // its error would be of connections that are cut on purpose
		err = fmt.Errorf("end the answers under way: %w", err)
	}
	s.stop()
	s.running.Wait()
	return err
}
