package config

import (
	"fmt"
	"slices"
	"strings"
)

// checkSource checks what must fit together within one source, and returns what
// its user should be warned about. shown is what the source is called in messages,
// at where it stands.
func (l *loader) checkSource(s settings, source Source, shown string, at Origin) (warnings []string) {
	before := len(l.mistakes)
	called := func(name string) string { return shown + "." + strings.TrimPrefix(name, sourcePrefix) }
	for _, k := range l.keys {
		if k.Twin && s.given(k.Name) && s.given(k.Name+"File") {
			l.report(called(k.Name), s[k.Name].origin,
				fmt.Sprintf("and %s (%s) are both set; keep one of them", called(k.Name+"File"), s[k.Name+"File"].origin))
		}
	}
	l.checkPair(s, called, "source.tls.certFile", "source.tls.keyFile")
	l.checkPair(s, called, "source.verify.notation.trustStore", "source.verify.notation.trustPolicy")

	if s.isTrue("source.plainHTTP") && (s.either("source.auth.username") || s.either("source.auth.token")) {
		warnings = append(warnings, called("source.plainHTTP")+" is true: credentials cross the network in the clear")
	}
	if s.isTrue("source.tls.insecureSkipVerify") && s.given("source.tls.caFile") {
		warnings = append(warnings, called("source.tls.caFile")+" has no effect while "+called("source.tls.insecureSkipVerify")+" is true")
	}
	if len(l.mistakes) == before && l.canBeJudged(s) {
		l.validate(s, source, shown, at)
	}
	return warnings
}

// canBeJudged says that nothing is missing, because it was wrong, by which the
// parts of a source are judged together: that would draw mistakes that are none.
// Numbers, durations and lists are judged one by one.
func (l *loader) canBeJudged(s settings) bool {
	return !slices.ContainsFunc(l.keys, func(k Key) bool {
		return k.inSource() && (k.Kind == Text || k.Kind == Bool) && s[k.Name].value == nil
	})
}

// validate asks the caller what it thinks of a source. An error that begins with
// the name of a key is a mistake of that key.
func (l *loader) validate(s settings, source Source, shown string, at Origin) {
	if l.opts.ValidateSource == nil {
		return
	}
	for _, err := range unjoin(l.opts.ValidateSource(source)) {
		key, problem, place := shown, err.Error(), at
		for _, k := range l.keys {
			rest, ok := strings.CutPrefix(problem, k.Name)
			if ok && k.inSource() && strings.IndexAny(rest, ": ") == 0 {
				key, problem, place = shown+"."+strings.TrimPrefix(k.Name, sourcePrefix), strings.TrimLeft(rest, ": "), s[k.Name].origin
				break
			}
		}
		l.report(key, place, problem)
	}
}

// unjoin takes apart what errors.Join joined, several times over too.
func unjoin(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	switch {
	case err == nil:
		return nil
	case !ok:
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, unjoin(e)...)
	}
	return all
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
