package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/specman/specman/internal/sync/oci"
)

// network looks at the way to the registry, step by step.
func (d *sourceDoctor) network(c *series) {
	e := d.endpoint()
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: e})
	switch {
	case err != nil:
		// The error holds the URL, and that perhaps a password.
		c.report("proxy", fail("mend HTTPS_PROXY, or list the registry in NO_PROXY", "HTTPS_PROXY is no URL of a proxy"))
		c.broken = "proxy"
	case proxy != nil:
		// From here nobody knows what the proxy sees.
		c.report("proxy", ok("requests go through %s (HTTPS_PROXY)", proxy.Host))
		e = proxy
	}
	c.check("dns", func(ctx context.Context) finding { return lookUp(ctx, e.Hostname()) })
	c.check("tcp", func(ctx context.Context) finding { return connect(ctx, e) })
	unreached := c.broken
	switch {
	case proxy != nil:
		c.check("tls", func(context.Context) finding { return skip("the connection is the proxy's") })
	case d.Connection.PlainHTTP:
		c.check("tls", func(context.Context) finding {
			return warn("set source.plainHTTP to false if the registry has TLS", "off: whoever is on the way can read the credentials and change what is served")
		})
	default:
		c.check("tls", func(ctx context.Context) finding { return d.handshake(ctx, e) })
	}
	c.check("login", d.login)
	if unreached != "" {
		c.report("clock", skip("%s failed", unreached))
		return
	}
	c.anyway("clock", d.clock) // a wrong clock may be why the others failed
}

// endpoint is the root of the registry.
func (d *sourceDoctor) endpoint() *url.URL {
	scheme := "https"
	if d.Connection.PlainHTTP {
		scheme = "http"
	}
	// As the repository names itself, it is host[:port]/path.
	host, _, _ := strings.Cut(d.repository.String(), "/")
	return &url.URL{Scheme: scheme, Host: host}
}

func lookUp(ctx context.Context, host string) finding {
	if net.ParseIP(host) != nil {
		return ok("%s is an address", host)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fail("check the host in source.repository, and the DNS server of the cluster (/etc/resolv.conf)", "%v", err)
	}
	return ok("%s is %s", host, some(addresses))
}

func connect(ctx context.Context, e *url.URL) finding {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", oci.HostPort(e))
	if err != nil {
		cure := "check host and port in source.repository, and that the registry runs"
		if ctx.Err() != nil {
			cure = "a firewall or NetworkPolicy may drop the packets: let the pod reach the registry"
		}
		return fail(cure, "%v", err)
	}
	defer conn.Close()
	return ok("%s answers", conn.RemoteAddr())
}

// maxSkew is how far a clock may be off: AWS refuses what is signed 5 minutes ago.
const maxSkew = 2 * time.Minute

// clock compares this machine's with the registry's. No credentials are sent, so the
// certificate does not matter.
func (d *sourceDoctor) clock(ctx context.Context) finding {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: d.looseTLS(), DisableKeepAlives: true}
	target := d.endpoint()
	target.Path = "/v2/"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return skip("%v", err)
	}
	req.Header.Set("User-Agent", d.Connection.UserAgent)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return skip("the registry did not answer: %v", err)
	}
	resp.Body.Close()
	return skew(resp.Header.Get("Date"), time.Now())
}

// skew judges a Date header (RFC 9110, 6.6.1), which has whole seconds.
func skew(date string, now time.Time) finding {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return skip("the registry does not tell its time")
	}
	off := now.Sub(theirs).Round(time.Second)
	if off.Abs() <= maxSkew {
		return ok("it agrees with the registry's to %s", max(off.Abs(), time.Second))
	}
	direction := "ahead of"
	if off < 0 {
		direction = "behind"
	}
	return warn("set the clocks by NTP: certificates and logins depend on them", "%s", fmt.Sprintf("it is %s %s the registry's", off.Abs(), direction))
}
