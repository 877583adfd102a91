package oci

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// Each hint is a cure in one line, in the words of the configuration.
const (
	hintLogin             = "set source.auth.username and source.auth.passwordFile, or source.auth.dockerConfig with an entry for this registry"
	hintHTML              = "a web page came instead: the login page of a proxy, or a web server that is no registry; check host and port in source.repository, and HTTPS_PROXY and NO_PROXY"
	hintDamaged           = "the registry's storage, or a proxy before it, is damaged: push the artifact again"
	hintClientCertificate = "the registry refused the handshake: if it wants a client certificate, set source.tls.certFile and source.tls.keyFile"
	hintStalled           = "the line or the registry is too slow or hangs: raise source.stallTimeout only if it really is that slow"
)

var hintAbsent = map[string]string{
	opTags:     "nothing was pushed there yet, or the path in source.repository is wrong",
	opHead:     "the tag was deleted, or never pushed",
	opManifest: "the tag was deleted, or its manifest was: push it again",
	opBlob:     "the registry lost this blob: push the artifact again",
	opPush:     "the repository does not exist, and this registry does not make it on push: create it first",
}

// hintOfKind is for what has no better one.
var hintOfKind = map[Kind]string{
	Refused:       "the registry, or a proxy before it, does not take such requests: its log says why",
	Network:       "the connection breaks or hangs: look at the registry's log, and at proxies, load balancers and firewalls on the way",
	TLS:           "the registry and this client find no common TLS: look at the registry's log and its certificate",
	Malformed:     "what came is not what the OCI specifications say: check that source.repository names a registry, and look at proxies before it",
	Misconfigured: "`specman config` shows the settings in use",
}

func hintForStatus(e *Error) string {
	said := ""
	if e.Err != nil {
		said = strings.ToLower(e.Err.Error())
	}
	switch e.Kind {
	case Unauthorized:
		return "check source.auth.username and password, and that the account has not expired or been locked (robot accounts of Harbor end after 30 days)"
	case Forbidden:
		if strings.Contains(said, "token has expired") {
			return "the login ended and a fresh one was refused too: check source.auth, and the clock of this machine"
		}
		return "the login works but may not read this repository: give the account pull rights on it (ECR: ecr:BatchGetImage, ecr:GetDownloadUrlForLayer, ecr:ListImages)"
	case RateLimited:
		return "too many requests for this account or address: raise source.interval, or log in"
	case Unavailable:
		return "the registry, or a proxy before it, is down or restarting"
	case Refused:
		if strings.Contains(said, "https server") {
			return "the registry speaks TLS on this port: set source.plainHTTP to false"
		}
	}
	return ""
}

// hintCertificate says which certificate would be needed, since "unknown
// authority" alone leaves people guessing.
func hintCertificate(failure *tls.CertificateVerificationError) string {
	var issuer, ends, names string
	if len(failure.UnverifiedCertificates) > 0 {
		last := failure.UnverifiedCertificates[len(failure.UnverifiedCertificates)-1]
		issuer = last.Issuer.String()
		leaf := failure.UnverifiedCertificates[0]
		ends = leaf.NotAfter.UTC().Format("2006-01-02")
		var all []string
		all = append(all, leaf.DNSNames...)
		for _, ip := range leaf.IPAddresses {
			all = append(all, ip.String())
		}
		if names = strings.Join(all, ", "); names == "" {
			names = "no name at all"
		}
	}
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(failure.Err, &unknown):
		return fmt.Sprintf("set source.tls.caFile to the CA that signed the registry's certificate; its issuer is %q", issuer)
	case errors.As(failure.Err, &host):
		return fmt.Sprintf("the registry's certificate is for %s: use such a name in source.repository, or renew the certificate with this one", names)
	case errors.As(failure.Err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the registry's certificate ends %s: renew it, or check this machine's clock", ends)
	}
	return "see the registry's certificate: openssl s_client -showcerts -connect HOST:PORT"
}
