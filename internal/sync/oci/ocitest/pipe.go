package ocitest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Pipe serves a handler over net.Pipe, for tests in a bubble of
// testing/synctest, whose time stands still while a goroutine waits on a
// socket. Its Dial is an oci.Config's DialContext.
type Pipe struct {
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewPipe begins to serve. End it with Close.
func NewPipe(handler http.Handler) *Pipe {
	p := &Pipe{
		server: &http.Server{Handler: handler},
		conns:  make(chan net.Conn),
		closed: make(chan struct{}),
	}
	go func() { _ = p.server.Serve(pipeListener{p}) }()
	return p
}

// Dial connects to the handler, whatever the address.
func (p *Pipe) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("the registry is down")}
	}
}

// Close ends the server and its connections.
func (p *Pipe) Close() error { return p.server.Close() }

// pipeListener is the server's side.
type pipeListener struct{ *Pipe }

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
