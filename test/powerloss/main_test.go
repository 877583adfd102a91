package powerloss

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/specman/specman/internal/store"
)

// torture says whether the long forms are wanted.
var torture = os.Getenv("SPECMAN_TORTURE") != ""

// program is the real one, built by TestMain.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "specman-powerloss-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // other uids run it too
	}
	if err == nil {
		program = filepath.Join(dir, "specman")
		build := exec.Command("go", "build", "-o", program, "./cmd/specman")
		build.Dir = filepath.Join("..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		var out []byte
		if out, err = build.CombinedOutput(); err != nil {
			err = fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "powerloss:", err)
		return 1
	}
	return m.Run()
}

// content is what a view serves: path → what is in the file.
type content map[string]string

// site is a store and the source that it follows.
type site struct {
	t      *testing.T
	dir    string // of the store
	layout string // an OCI layout, the source
	extra  []string
	out    *os.File
}

func newSite(t *testing.T, dir string, extra ...string) *site {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	require.NoError(t, err)
	t.Cleanup(func() { out.Close() })
	return &site{t: t, dir: dir, layout: filepath.Join(t.TempDir(), "layout"), extra: extra, out: out}
}

func (s *site) env(dir string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"),
		"SPECMAN_SOURCE_REPOSITORY=oci-layout:" + s.layout,
		"SPECMAN_SOURCE_SELECT=0.0.0",
		"SPECMAN_STORE_DIR=" + dir,
		"SPECMAN_STORE_GRACE=0s", "SPECMAN_STORE_MINFREE=0",
	}, s.extra...)
}

// push publishes a tree under the tag that is followed.
func (s *site) push(files content) {
	s.t.Helper()
	www := s.t.TempDir()
	for name, text := range files {
		path := filepath.Join(www, name)
		require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(s.t, os.WriteFile(path, []byte(text), 0o644))
	}
	status, out := s.plain(s.dir, "push", www, "oci-layout:"+s.layout+":0.0.0")
	require.Zero(s.t, status, out)
}

// plain runs the program, untraced, on the store in dir.
func (s *site) plain(dir string, args ...string) (status int, out string) {
	s.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = s.env(dir)
	b, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		require.NoError(s.t, err)
	}
	return cmd.ProcessState.ExitCode(), string(b)
}

// traced runs the program under an observer.
func (s *site) traced(o observer, args ...string) (status int, out string) {
	s.t.Helper()
	require.NoError(s.t, s.out.Truncate(0))
	_, err := s.out.Seek(0, 0)
	require.NoError(s.t, err)
	status, err = traced{program, args, s.env(s.dir), s.out}.run(o)
	require.NoError(s.t, err)
	b, err := os.ReadFile(s.out.Name())
	require.NoError(s.t, err)
	return status, string(b)
}

// volume is a folder on a file system of its own, in memory where that can be
// had: building thousands of states should not wear out a disk.
func volume(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Getuid() == 0 {
		require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
		t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	}
	return dir
}

// tree is a tree of some files, of which changed ones differ between versions:
// small ones, an empty one, one that takes several blocks, folders, and two that
// are equal.
func tree(version string) content {
	files := content{
		"roar/nickfury/versions.yaml": "versions: " + version + "\n",
		"roar/large.bin":              strings.Repeat("a large file that stays as it is. ", 8000),
		"roar/deep/er/same.yaml":      "the same in every version\n",
		"copy.yaml":                   "the same in every version\n",
		"empty":                       "",
		"only-in-" + version:          "",
		"changing.bin":                strings.Repeat(version, 5000),
	}
	return files
}

// served names the view that a store serves, "" if none, and the paths at which
// it is not what is wanted of that view. A file that cannot be opened is an error.
func served(s *store.Store, want func(view string) content) (view string, wrong []string, err error) {
	v := s.Acquire()
	if v == nil {
		return "", nil, nil
	}
	defer v.Close()
	wrong, err = compare(v, want(v.ID()))
	return v.ID(), wrong, err
}

// compare returns the paths at which a view is not what is wanted.
func compare(v *store.View, files content) (wrong []string, err error) {
	count := 0
	for path, e := range v.All() {
		if e.Kind != store.File {
			continue
		}
		count++
		f, err := v.Open(e)
		if err != nil {
			return nil, err
		}
		same, err := holds(f, files[path])
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		if _, there := files[path]; !there || !same {
			wrong = append(wrong, path)
		}
	}
	if count < len(files) {
		wrong = append(wrong, fmt.Sprintf("only %d of %d files are there", count, len(files)))
	}
	return wrong, nil
}

// holds says whether a file has a text and nothing more. It allocates little:
// with the race detector on, large blocks take most of the time.
func holds(f *os.File, text string) (bool, error) {
	var block [16 << 10]byte
	for {
		n, err := f.Read(block[:])
		if n > len(text) || string(block[:n]) != text[:n] {
			return false, nil
		}
		text = text[n:]
		if errors.Is(err, io.EOF) {
			return text == "", nil
		}
		if err != nil {
			return false, err
		}
	}
}

func sortedPaths[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// must runs the program, which has to end with that status, and returns what it says.
func (s *site) must(t *testing.T, want int, args ...string) string {
	t.Helper()
	status, out := s.plain(s.dir, args...)
	require.Equal(t, want, status, "%v: %s", args, out)
	return out
}

// read reads the store without opening it. The caller must Close.
func (s *site) read(t *testing.T) *store.Snapshot {
	t.Helper()
	p, err := store.Read(s.dir)
	require.NoError(t, err)
	return p
}

// serves asserts what the store would serve.
func (s *site) serves(t *testing.T, want content) {
	t.Helper()
	p := s.read(t)
	defer p.Close()
	require.NotNil(t, p.View)
	wrong, err := compare(p.View, want)
	require.NoError(t, err)
	require.Empty(t, wrong)
}
