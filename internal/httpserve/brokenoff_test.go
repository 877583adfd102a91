package httpserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
	"github.com/specman/specman/internal/testenv"
	"github.com/specman/specman/internal/variant"
)

// Large files are vouched for before their first byte goes out, and then no more.
func TestAnAnswerIsBrokenOffWhereItsFileEnds(t *testing.T) {
	const size = 24 << 20 // far more than what the sockets of both sides hold
	for _, row := range []struct {
		version int
		asked   string
	}{
		{1, ""},
		{2, "bytes=1-"},
		{1, fmt.Sprintf("bytes=0-%d,%d-", size-9, size-5)},
	} {
		t.Run(fmt.Sprintf("HTTP %d: %s", row.version, row.asked), func(t *testing.T) {
			s := openStore(t)
			follow(t, s, hold(t, s, "1.0.0", tree{"large.bin": strings.Repeat("large and right\n", size/16)}))
			told := make(chan store.Entry, 9)
			r := start(t, s, func(o *Options) {
				o.OnDamage = func(v *store.View, e store.Entry) {
					s.ReportDamage(v, e)
					told <- e
				}
			})
			req, err := http.NewRequest("GET", "https://"+r.addr+"/large.bin", nil)
			require.NoError(t, err)
			if row.asked != "" {
				req.Header.Set("Range", row.asked)
			}
			res, err := r.client(t, row.version).Do(req)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Less(t, res.StatusCode, 300)

			view := s.Acquire()
			defer view.Close()
			path := filepath.Join(view.Folder(), "large.bin")
			require.NoError(t, os.Chmod(path, 0o644))
			require.NoError(t, os.Truncate(path, 100))
			_, err = io.Copy(io.Discard, res.Body)
			require.Error(t, err, "no client takes it for whole")
			select {
			case e := <-told:
				assert.EqualValues(t, size, e.Size)
			case <-time.After(time.Minute):
				t.Fatal("nobody was told")
			}
			assert.Len(t, s.DamagedTrees(), 1, "it is mended, or fetched anew")
			assert.Contains(t, r.log.String(), "unexpected EOF")
		})
	}
}

// A disk that gives a file once does not have to give it again, and no change of the
// file tells of it.
func TestALargeFileOnABadBlock(t *testing.T) {
	text := randomText(1 << 20)
	for _, encoding := range []string{"identity", "gzip"} {
		t.Run(encoding, func(t *testing.T) {
			volume, image := testenv.LoopVolume(t, 32<<20, "mkfs.ext2", "-q")
			s, err := store.Open(context.Background(), store.Options{Dir: filepath.Join(volume, "store"), Keep: 10})
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() }) // its volume is broken by then, as that of the variants
			follow(t, s, hold(t, s, "1.0.0", tree{"large.txt": text}))
			variants, err := variant.Open(variant.Options{Dir: filepath.Join(volume, "variants")})
			require.NoError(t, err)
			t.Cleanup(func() { _ = variants.Close() })
			r := start(t, s, func(o *Options) { o.OnDamage, o.Variants = s.ReportDamage, variants })
			view := s.Acquire()
			defer view.Close()
			require.NoError(t, variants.Make(context.Background(), TextFiles(view)))

			get := func() error { // on a connection of its own: nothing is asked again
				req, err := http.NewRequest("GET", "https://"+r.addr+"/large.txt", nil)
				require.NoError(t, err)
				req.Header.Set("Accept-Encoding", encoding)
				res, err := r.client(t, 1).Do(req)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					return err
				}
				if res.StatusCode != 200 {
					return errors.New(res.Status)
				}
				assert.Equal(t, encoding == "gzip", res.Header.Get("Content-Encoding") == "gzip")
				return nil
			}
			require.NoError(t, get())
			time.Sleep(1100 * time.Millisecond) // see filestate.Settled
			require.NoError(t, get(), "vouched for")

			broken := filepath.Join(view.Folder(), "large.txt")
			if encoding == "gzip" {
				found, err := filepath.Glob(filepath.Join(volume, "variants", "*", "*.gz"))
				require.NoError(t, err)
				require.Len(t, found, 1)
				broken = found[0]
			}
			breakDisk(t, image, broken)
			require.Error(t, get(), "broken off")
			if encoding == "gzip" {
				assert.Empty(t, s.DamagedTrees(), "the file itself is whole")
				set, known := variants.Find(sumOf(text))
				assert.False(t, known, "it is made anew: %v", set)
				return
			}
			assert.Len(t, s.DamagedTrees(), 1)
			assert.EqualError(t, get(), "503 Service Unavailable", "nobody gets as far again")
		})
	}
}

// breakDisk leaves nothing of a mounted image but what the kernel has in memory, which
// is all but the content of a file.
func breakDisk(t *testing.T, image, file string) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Syncfs(int(f.Fd())))
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	require.NoError(t, os.Truncate(image, 4096))
}

func randomText(size int) string {
	text := make([]byte, size)
	for n := range text {
		text[n] = 'a' + byte(rand.IntN(26))
	}
	return string(text)
}
