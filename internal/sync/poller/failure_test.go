package poller

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/specman/specman/internal/sync/oci"
)

func TestPermissionDenied(t *testing.T) {
	denied := fmt.Errorf("publish the tree: %w", &fs.PathError{Op: "rename", Path: "/s/trees/x", Err: syscall.EACCES})
	for _, stage := range []Stage{StageUnpack, StagePublish} {
		f := fail(stage, "0.0.0", "", denied)
		assert.Contains(t, f.Cure, "uid "+strconv.Itoa(os.Getuid()))
		assert.True(t, f.backsOff(), "each poll would download the layer again")
		assert.False(t, f.refused)
	}
	gate := fail(StageGate, "0.0.0", "", fmt.Errorf("gate.command: %w", syscall.EACCES))
	assert.NotContains(t, gate.Cure, "store.dir")
	assert.False(t, gate.backsOff())
	layout := fail(StageUnpack, "0.0.0", "", &oci.Error{Kind: oci.Misconfigured, Cure: "of the layout", Err: syscall.EACCES})
	assert.Equal(t, "of the layout", layout.Cure)
}
