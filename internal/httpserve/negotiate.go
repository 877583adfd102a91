package httpserve

import (
	"strconv"
	"strings"
)

// qualities yields the members of an Accept or Accept-Encoding header with
// their weights (RFC 9110, 12.4.2), in thousandths: lower case, without other
// parameters. A weight that is none counts as 1.
func qualities(lines []string, yield func(name string, q int)) {
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			name, parameters, _ := strings.Cut(member, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" {
				continue
			}
			q := 1000
			for parameter := range strings.SplitSeq(parameters, ";") {
				key, value, _ := strings.Cut(parameter, "=")
				if strings.EqualFold(strings.TrimSpace(key), "q") {
					q = quality(strings.TrimSpace(value))
					break
				}
			}
			yield(name, q)
		}
	}
}

func quality(value string) int {
	q, err := strconv.ParseFloat(value, 64)
	if err != nil || !(q >= 0 && q <= 1) {
		return 1000
	}
	return int(q*1000 + 0.5)
}

// prefersJSON says whether a client would rather have JSON than what people
// read. Among equals the type that was named more exactly wins, so that
// "application/json, */*" is JSON and "*/*" is for people.
func prefersJSON(accept []string) bool {
	type match struct{ exact, q int }
	var json, html match
	qualities(accept, func(name string, q int) {
		better := func(m *match, exact int) {
			if exact > m.exact || exact == m.exact && q > m.q {
				*m = match{exact, q}
			}
		}
		switch name {
		case "application/json", "application/problem+json":
			better(&json, 3)
		case "application/*":
			better(&json, 2)
		case "text/html":
			better(&html, 3)
		case "text/*":
			better(&html, 2)
		case "*/*":
			better(&json, 1)
			better(&html, 1)
		}
	})
	if json.q != html.q {
		return json.q > html.q
	}
	return json.q > 0 && json.exact > html.exact
}

// encodings is what a client says of content codings: weights in thousandths.
type encodings struct{ gzip, zstd, identity int }

// acceptedEncodings reads Accept-Encoding (RFC 9110, 12.5.3). Identity that is
// not named is acceptable, after everything that is named, unless "*;q=0" or
// "identity;q=0" rules it out.
func acceptedEncodings(lines []string) encodings {
	if len(lines) == 0 {
		return encodings{identity: 1}
	}
	const unnamed = -1
	e, any := encodings{unnamed, unnamed, unnamed}, unnamed
	qualities(lines, func(name string, q int) {
		switch name {
		case "gzip", "x-gzip":
			e.gzip = q
		case "zstd":
			e.zstd = q
		case "identity":
			e.identity = q
		case "*":
			any = q
		}
	})
	for _, q := range []*int{&e.gzip, &e.zstd} {
		if *q == unnamed {
			*q = max(any, 0)
		}
	}
	if e.identity == unnamed {
		e.identity = 1
		if any == 0 {
			e.identity = 0
		}
	}
	return e
}
