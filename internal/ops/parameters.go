package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxParameters is the size of a body with parameters, in bytes.
const maxParameters = 64 << 10

// parameters lets a change take what it is told from the query or from a body,
// a JSON object or a form, and refuses what it has not heard of: a version in a
// place where nobody looks, or a misspelt dryRun, would else be another change
// than the one that was asked for, and answered with 200.
func (s *Server) parameters(h http.HandlerFunc, known ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values, err := readParameters(w, r)
		if err != nil {
			s.problem(w, http.StatusBadRequest, "read the parameters: %v", err)
			return
		}
		if err := checkParameters(values, known); err != nil {
			s.problem(w, http.StatusBadRequest, "%v", err)
			return
		}
		r.URL.RawQuery = values.Encode()
		h(w, r)
	}
}

// inQuery is parameters for a change whose body is something else.
func (s *Server) inQuery(h http.HandlerFunc, known ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values, err := url.ParseQuery(r.URL.RawQuery)
		if err == nil {
			err = checkParameters(values, known)
		}
		if err != nil {
			s.problem(w, http.StatusBadRequest, "%v", err)
			return
		}
		h(w, r)
	}
}

func checkParameters(values url.Values, known []string) error {
	for name, of := range values {
		switch {
		case !slices.Contains(known, name):
			return fmt.Errorf("%s is no parameter of this call: it knows %s", name, strings.Join(known, ", "))
		case len(of) > 1:
			return fmt.Errorf("%s is given %d times: give it once", name, len(of))
		}
	}
	return nil
}

// readParameters is the query, and what the body adds to it.
func readParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxParameters))
	if err != nil {
		return nil, err
	}
	more, err := parseParameters(r.Header.Get("Content-Type"), strings.TrimSpace(string(body)))
	for name, of := range more {
		values[name] = append(values[name], of...)
	}
	return values, err
}

func parseParameters(contentType, body string) (url.Values, error) {
	media, _, _ := mime.ParseMediaType(contentType)
	switch {
	case body == "":
		return nil, nil
	case media == "application/json" || body[0] == '{': // curl -d says that everything is a form
		return parseJSONParameters(body)
	case media == "application/x-www-form-urlencoded":
		return url.ParseQuery(body)
	}
	return nil, errors.New("the body is neither a JSON object nor a form; parameters can also stand in the query")
}

func parseJSONParameters(body string) (url.Values, error) {
	var object map[string]any
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		return nil, fmt.Errorf("the body is no JSON object: %w", err)
	}
	values := url.Values{}
	for name, value := range object {
		switch value.(type) {
		case nil: // as good as not there
		case string, bool:
			values.Set(name, fmt.Sprint(value))
		default:
			return nil, fmt.Errorf("%s is neither text nor true nor false", name)
		}
	}
	return values, nil
}
