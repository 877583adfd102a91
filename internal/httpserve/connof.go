package httpserve

import (
	"context"
	"crypto/tls"
	"net"
)

type connKey struct{}

// keepConn lets a request find its connection.
func (s *Server) keepConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		if below, ok := t.NetConn().(*conn); ok {
			below.direct = s.opts.DirectWrites
			return context.WithValue(ctx, connKey{}, below)
		}
	}
	return ctx
}

// connOf returns the connection of a request, nil where it is not one of ours.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}
