package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

// server is one contender: the same tree, the same certificate, one core.
type server struct {
	name    string
	address string // host:port
	ops     string // of Specman: address of its profiles
	process *process
	coded   bool // knows gzip
	// validators are the header line, by path, with which a client asks whether
	// a file has changed: set by check.
	validators map[string]string
}

func (s *server) url(path string) string { return "https://" + s.address + path }

const (
	specmanName    = "Specman"
	nginxName      = "nginx"
	caddyName      = "Caddy"
	fileServerName = "FileServer"
)

// commandOf makes a server's configuration and returns its command line.
type commandOf func(b *bench, s *server, site *site, pair pair) ([]string, error)

// startServers starts all contenders. What was started is returned even with an
// error, to be stopped.
func (b *bench) startServers(site *site, pair pair) (servers []*server, err error) {
	for _, c := range []struct {
		name    string
		coded   bool
		command commandOf
	}{
		{specmanName, true, (*bench).specmanCommand},
		{nginxName, true, (*bench).nginxCommand},
		{caddyName, true, (*bench).caddyCommand},
		{fileServerName, false, (*bench).fileServerCommand},
	} {
		s := &server{name: c.name, coded: c.coded}
		if s.address, err = freeAddress(); err != nil {
			return servers, err
		}
		command, err := c.command(b, s, site, pair)
		if err != nil {
			return servers, err
		}
		if s.process, err = b.start(c.name, b.machine.onServerCore(command...)...); err != nil {
			return servers, err
		}
		servers = append(servers, s)
		if err := b.waitFor(s.process, c.name+" listens", func() bool { return listens(s.address) }); err != nil {
			return servers, err
		}
	}
	return servers, nil
}

func (b *bench) specmanCommand(s *server, _ *site, pair pair) (command []string, err error) {
	if s.ops, err = freeAddress(); err != nil {
		return nil, err
	}
	return []string{b.specman, "serve",
		"--source.repository=oci-layout:" + b.path("layout"), "--source.interval=1h", "--store.dir=" + b.path("store"),
		"--http.listen=" + s.address, "--http.tls.certFile=" + pair.cert, "--http.tls.keyFile=" + pair.key,
		"--ops.listen=" + s.ops, "--ops.pprof=true"}, nil
}

// nginx with all that people tune for static files.
const nginxConfig = `
daemon off;
worker_processes 1;
pid %[1]s/pid;
%[5]s
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  types { application/yaml yaml; application/json json; }
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  http2_max_concurrent_streams 128;
  open_file_cache max=100000 inactive=1h;
  open_file_cache_valid 1h;
  gzip_static on;
  ssl_protocols TLSv1.3;
  # What Go's servers choose on a processor that knows AES.
  ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_session_cache shared:tls:10m;
  ssl_session_tickets on;
  ssl_certificate %[3]s;
  ssl_certificate_key %[4]s;
  server { listen %[2]s ssl http2; root %[6]s; }
}
`

func (b *bench) nginxCommand(s *server, site *site, pair pair) ([]string, error) {
	program, err := debianProgram("nginx")
	if err != nil {
		return nil, err
	}
	dir := b.path("nginx")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the tree lies in a folder of root's
	}
	config := fmt.Sprintf(nginxConfig, dir, s.address, pair.cert, pair.key, user, site.dir)
	if err := os.WriteFile(dir+"/nginx.conf", []byte(config), 0o644); err != nil {
		return nil, err
	}
	return []string{program, "-p", dir, "-e", "stderr", "-c", dir + "/nginx.conf"}, nil
}

const caddyConfig = `
{
	admin off
	auto_https off
	log {
		level ERROR
	}
}
https://%[1]s {
	bind 127.0.0.1
	tls %[2]s %[3]s
	root * %[4]s
	file_server {
		precompressed zstd gzip
	}
}
`

func (b *bench) caddyCommand(s *server, site *site, pair pair) ([]string, error) {
	program, err := debianProgram("caddy")
	if err != nil {
		return nil, err
	}
	file := b.path("Caddyfile")
	if err := os.WriteFile(file, fmt.Appendf(nil, caddyConfig, s.address, pair.cert, pair.key, site.dir), 0o644); err != nil {
		return nil, err
	}
	return []string{program, "run", "--adapter", "caddyfile", "--config", file}, nil
}

func (b *bench) fileServerCommand(s *server, site *site, pair pair) ([]string, error) {
	return []string{b.self, "fileserver", s.address, pair.cert, pair.key, site.dir}, nil
}

// runFileServer is what Go programs usually do: ADDRESS CERT KEY DIR.
func runFileServer(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	return http.ServeTLS(l, http.FileServer(http.Dir(args[3])), args[1], args[2])
}

// debianProgram finds a program also where only root's PATH goes.
func debianProgram(name string) (string, error) {
	for _, candidate := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is missing: test/deps.sh installs what the bench needs", name)
}

// versions says which programs Specman is held against.
func versions() string {
	var all []string
	for _, c := range []struct{ name, flag string }{{"nginx", "-v"}, {"caddy", "version"}, {"wrk", "-v"}, {"h2load", "--version"}, {"curl", "--version"}} {
		program, err := debianProgram(c.name)
		if err != nil {
			continue // whoever needs it says so
		}
		out, _ := exec.Command(program, c.flag).CombinedOutput() // wrk -v ends with status 1
		line, _, _ := strings.Cut(string(out), "\n")
		if c.name == "caddy" {
			line = "Caddy " + line
		}
		all = append(all, strings.TrimSpace(line))
	}
	return strings.Join(all, " · ")
}

// client is for checks: it trusts the servers' certificate, speaks one protocol,
// and takes bodies as they come.
func client(http2 bool) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, // of a server that this program has just started
		Protocols:           &protocols,
		DisableCompression:  true,
		MaxIdleConnsPerHost: goWorkers,
	}}
}

// read takes a whole answer.
func read(resp *http.Response, err error) (*http.Response, []byte, error) {
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}
