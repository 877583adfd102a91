package poller

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/sync/archive"
	"github.com/specman/specman/internal/sync/oci"
)

func TestASummaryTellsTheReasonAndNoHost(t *testing.T) {
	at := func(kind oci.Kind) error {
		return fmt.Errorf("tags of registry.internal/secret: %w", &oci.Error{Kind: kind, Target: "registry.internal/secret"})
	}
	for _, row := range []struct {
		stage Stage
		err   error
		want  string
	}{
		{StageList, at(oci.Unauthorized), "the registry does not accept the login"},
		{StageList, at(oci.Network), "the registry cannot be reached"},
		{StageResolve, at(oci.TLS), "no trusted TLS connection to the registry"},
		{StageUnpack, at(oci.Corrupt), "what was downloaded is not what the registry describes"},
		{StageUnpack, &archive.RefusedError{Reason: "registry.internal"}, "the archive is refused"},
		{StageUnpack, errors.New("registry.internal"), "the sync failed at stage unpack"},
		{StageDownload, fmt.Errorf("/srv/secret: %w", store.ErrNoSpace), "the store's volume is full"},
		{StageGate, errors.New("registry.internal"), "the gate does not let it pass"},
	} {
		assert.Equal(t, row.want, fail(row.stage, "0.0.0", "", row.err).Summary())
	}
	quiet := fail(StageList, "", "", at(oci.Absent))
	quiet.quiet = true
	assert.Equal(t, "nothing was pushed yet", quiet.Summary())
}
