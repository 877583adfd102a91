package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/gate"
	"github.com/specman/specman/internal/sync/importer"
)

// socketRig is a rig that a Client can reach, and whose imports go to f.
func socketRig(t *testing.T, f func(ctx context.Context, body io.Reader, r ImportRequest) (importer.Result, error)) (*rig, Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "control.sock")
	r := newRig(t, func(o *Options) { o.Socket, o.Import = socket, f })
	r.run()
	return r, Client{Socket: socket}
}

func TestImportBringsTheBody(t *testing.T) {
	_, client := socketRig(t, func(_ context.Context, body io.Reader, r ImportRequest) (importer.Result, error) {
		content, err := io.ReadAll(body)
		return importer.Result{Swapped: r.Force, Imported: []importer.Imported{{Release: store.Release{Tag: r.Tag, Archive: string(content)}}}}, err
	})
	result, err := client.Import(t.Context(), strings.NewReader("content"), ImportRequest{Tag: "1.0.0", Force: true})
	require.NoError(t, err)
	assert.Equal(t, "specman-0", result.Replica)
	assert.True(t, result.Swapped)
	assert.Equal(t, "1.0.0", result.Imported[0].Tag)
	assert.Equal(t, "content", result.Imported[0].Archive)
	result, err = client.Import(t.Context(), strings.NewReader("content"), ImportRequest{})
	require.NoError(t, err)
	assert.False(t, result.Swapped, "it is not forced unasked")
	assert.Empty(t, result.Imported[0].Tag)
}

func TestImportIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		err    error
		status int
	}{
		"the tag":     {fmt.Errorf("%q %w", "a b", importer.ErrTag), http.StatusBadRequest},
		"the archive": {fmt.Errorf("import: %w", &archive.RefusedError{Reason: "is bad"}), http.StatusUnprocessableEntity},
		"the gate":    {fmt.Errorf("import: %w", &gate.RefusedError{Err: errors.New("is held back")}), http.StatusUnprocessableEntity},
		"the space":   {fmt.Errorf("import: %w", store.ErrNoSpace), http.StatusInsufficientStorage},
		"the rest":    {errors.New("no"), http.StatusConflict},
	} {
		t.Run(name, func(t *testing.T) {
			r, client := socketRig(t, func(context.Context, io.Reader, ImportRequest) (importer.Result, error) {
				return importer.Result{}, row.err
			})
			// More than a socket holds: the answer must not be lost with what is unread.
			_, err := client.Import(t.Context(), bytes.NewReader(make([]byte, 8<<20)), ImportRequest{Tag: "1.0.0"})
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, row.status, refused.Status)
			assert.Equal(t, row.err.Error(), refused.Detail)
			assert.Contains(t, r.log.String(), "An import failed")
		})
	}
}

func TestImportWhereThereIsNone(t *testing.T) {
	_, client := socketRig(t, nil)
	_, err := client.Import(t.Context(), strings.NewReader(""), ImportRequest{})
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, http.StatusNotFound, refused.Status)
}

func TestImportEndsWithTheService(t *testing.T) {
	begun := make(chan struct{})
	r, client := socketRig(t, func(ctx context.Context, _ io.Reader, _ ImportRequest) (importer.Result, error) {
		close(begun)
		select {
		case <-ctx.Done():
			return importer.Result{}, ctx.Err()
		case <-time.After(time.Minute):
			return importer.Result{}, nil
		}
	})
	go func() {
		<-begun
		r.server.stop()
	}()
	_, err := client.Import(t.Context(), strings.NewReader("x"), ImportRequest{Tag: "1.0.0"})
	assert.Error(t, err)
}
