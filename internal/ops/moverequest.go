package ops

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// timeFormat is how moments are written in messages.
const timeFormat = time.RFC3339

func (r MoveRequest) query() url.Values {
	return url.Values{
		"version": {r.Version},
		"alone":   {strconv.FormatBool(r.Alone)},
		"dryRun":  {strconv.FormatBool(r.DryRun)},
	}
}

func moveRequest(r *http.Request) (m MoveRequest, err error) {
	m.Version, m.By = r.URL.Query().Get("version"), caller(r)
	if m.Alone, err = flag(r, "alone"); err != nil {
		return m, err
	}
	m.DryRun, err = flag(r, "dryRun")
	return m, err
}
