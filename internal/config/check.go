package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// checkRepository keeps credentials out of a key that is printed. The rest is
// judged by LoadOptions.ValidateSource, which knows the rules of registries.
func checkRepository(s string) error {
	if strings.Contains(s, "@") && !strings.HasPrefix(s, "oci-layout:") {
		return errors.New("holds an @; write host[:port]/path, give user and password in source.auth.*, and a digest in source.select")
	}
	return nil
}

func checkAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%s is no address to listen at; write :PORT or HOST:PORT (an IPv6 host in brackets)", quote(s))
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("port %s is not allowed; allowed is a number from 0 to 65535", quote(port))
	}
	return nil
}

// checkRequiredPath refuses what no tree can hold, and every release would be refused for.
func checkRequiredPath(s string) error {
	if name := strings.Trim(s, "/"); name == "" || name == "." || !fs.ValidPath(name) {
		return fmt.Errorf("%s is the path of no file or folder; allowed are paths as /roar/nickfury/versions.yaml, without empty, . and .. parts", quote(s))
	}
	return nil
}

// checkURL quotes nothing: the paths of web hooks often hold a token.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("is no URL; allowed is http://… or https://…")
	}
	return nil
}

var dnsLabel = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`) })

func checkSourceName(s string) error {
	if !dnsLabel().MatchString(s) {
		return fmt.Errorf("%s is not allowed; allowed are up to 63 small letters, digits and inner dashes", quote(s))
	}
	if s == "import" {
		return fmt.Errorf("%s is not allowed: it is the name under which imported archives are held", quote(s))
	}
	return nil
}
