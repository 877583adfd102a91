package block

import (
	"errors"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestNewIsZeroedAndMapped(t *testing.T) {
	const size = 256 << 10
	b := New(size)
	if err := unix.Madvise(b, unix.MADV_POPULATE_WRITE); errors.Is(err, unix.EINVAL) {
		t.Skip("this kernel maps page by page")
	}
	b = New(size)
	resident := make([]byte, size/syscall.Getpagesize())
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), size, uintptr(unsafe.Pointer(&resident[0])))
	require.Zero(t, errno)
	for n, page := range resident {
		require.EqualValues(t, 1, page&1, "page %d of %d", n, len(resident))
	}
	assert.Equal(t, make([]byte, size), b)
}
