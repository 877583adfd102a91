package config

import (
	"fmt"
	"strings"
)

// checkSource checks what must fit together within one source, and returns what
// its user should be warned about. shown is what the source is called in messages.
func (l *loader) checkSource(s settings, shown string) (warnings []string) {
	called := func(name string) string { return shown + "." + strings.TrimPrefix(name, sourcePrefix) }
	for _, k := range l.keys {
		if k.Twin && s.given(k.Name) && s.given(k.Name+"File") {
			l.report(called(k.Name), s[k.Name].origin,
				fmt.Sprintf("and %s (%s) are both set; keep one of them", called(k.Name+"File"), s[k.Name+"File"].origin))
		}
	}
	l.checkPair(s, called, "source.tls.certFile", "source.tls.keyFile")
	l.checkPair(s, called, "source.verify.notation.trustStore", "source.verify.notation.trustPolicy")
	l.checkPair(s, called, "source.auth.ecr.accessKey", "source.auth.ecr.secretKey")

	username := s.either("source.auth.username")
	login := username || s.either("source.auth.token")
	if s.text("source.auth.provider") == "basic" && !login {
		l.report(called("source.auth.provider"), s["source.auth.provider"].origin,
			"is basic, but there is no user name; set "+called("source.auth.username")+" or its File twin")
	}
	if s.either("source.auth.password") && !username {
		warnings = append(warnings, called("source.auth.password")+" is set without "+called("source.auth.username")+" and has no effect")
	}
	if s.isTrue("source.plainHTTP") && login {
		warnings = append(warnings, called("source.plainHTTP")+" is true: credentials cross the network in the clear")
	}
	if s.isTrue("source.tls.insecureSkipVerify") {
		warning := called("source.tls.insecureSkipVerify") + " is true: the registry's certificate is not verified"
		if s.given("source.tls.caFile") {
			warning += ", and " + called("source.tls.caFile") + " has no effect"
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// checkPair wants both keys (or their File twins) or none.
func (l *loader) checkPair(s settings, called func(string) string, a, b string) {
	switch {
	case s.either(a) && !s.either(b):
		l.report(called(a), s.originOf(a), "is set without "+called(b)+"; set both or none")
	case s.either(b) && !s.either(a):
		l.report(called(b), s.originOf(b), "is set without "+called(a)+"; set both or none")
	}
}

// either says whether the key or its File twin is given.
func (s settings) either(name string) bool { return s.given(name) || s.given(name+"File") }

func (s settings) originOf(name string) Origin {
	if s.given(name) {
		return s[name].origin
	}
	return s[name+"File"].origin
}

// checkServer checks what must fit together outside the sources.
func (l *loader) checkServer(s settings) {
	same := func(name string) string { return name }
	l.checkPair(s, same, "http.tls.certFile", "http.tls.keyFile")
	if address := s.text("http.listen"); address != "" && address == s.text("ops.listen") && !strings.HasSuffix(address, ":0") {
		l.report("ops.listen", s["ops.listen"].origin, fmt.Sprintf("%s is http.listen's too; give it a port of its own", quote(address)))
	}
}

// refuseBoth reports every key of `source` that is set beside `sources`.
func (l *loader) refuseBoth(s settings) {
	for _, k := range l.keys {
		if k.inSource() && s.given(k.Name) {
			l.report(k.Name, s[k.Name].origin, "is set beside `sources`; move it into an entry of `sources`, or use `source` alone")
		}
	}
}

// checkNames wants a name for every entry, and no name twice.
func (l *loader) checkNames(list *sourceList) {
	first := map[string]string{}
	for _, entry := range list.entries {
		shown := entry.shown + ".name"
		name, ok := entry.name.value.(string)
		switch other, taken := first[name]; {
		case !ok && entry.named:
			// Its value was wrong, and has been reported.
		case !ok:
			l.report(shown, entry.origin, "is missing; every entry of `sources` needs one")
		case taken:
			l.report(shown, entry.name.origin, fmt.Sprintf("%s is %s's too; names must differ", quote(name), other))
		default:
			first[name] = entry.shown
		}
	}
}
