package ops

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// timeFormat is how moments are written in messages.
const timeFormat = time.RFC3339

// query says no more than was asked for: not every call knows every parameter.
func (r MoveRequest) query() url.Values {
	q := url.Values{"dryRun": {strconv.FormatBool(r.DryRun)}}
	if r.Version != "" {
		q.Set("version", r.Version)
	}
	if r.Alone {
		q.Set("alone", "true")
	}
	return q
}

func moveRequest(r *http.Request) (m MoveRequest, err error) {
	m.Version, m.By = r.URL.Query().Get("version"), caller(r)
	if m.Alone, err = flag(r, "alone"); err != nil {
		return m, err
	}
	m.DryRun, err = flag(r, "dryRun")
	return m, err
}
