package archive

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// extracted runs Extract into memory and checks what holds for every archive.
func extracted(t testing.TB, data []byte, limits Limits) (*memorySink, Report, error) {
	t.Helper()
	sink := newMemorySink(t)
	sink.limits = limits.withDefaults()
	r := bytes.NewReader(data)
	report, err := Extract(t.Context(), r, limits, sink)

	assert.Zero(t, r.Len(), "the archive is read to its end, refused or not")
	assert.LessOrEqual(t, len(report.Skipped), maxSkippedNamed)
	if err == nil {
		assert.Equal(t, len(sink.files), report.Files)
		assert.Equal(t, len(sink.folders)-1, report.Dirs)
		assert.Equal(t, len(sink.aliases), report.Aliases)
		var bytes int64
		files := len(sink.files)
		for _, f := range sink.files {
			bytes += f.size
		}
		for _, target := range sink.aliases {
			if _, ok := sink.files[target]; ok {
				files++
			}
		}
		assert.Equal(t, bytes, report.Bytes)
		assert.LessOrEqual(t, files, sink.limits.Files)
		assert.NotZero(t, report.Files)
		for _, s := range report.Skipped {
			assert.NotContains(t, sink.tree(), s.Name, "skipped is not served")
		}
	} else {
		require.ErrorAs(t, err, new(*RefusedError))
		assert.Less(t, len(err.Error()), 2000)
	}
	return sink, report, err
}

func skippedNames(report Report) []string {
	names := []string{}
	for _, s := range report.Skipped {
		names = append(names, s.Name)
	}
	return names
}

type shown = map[string]string

// What is kept, and what is skipped.
func TestKept(t *testing.T) {
	long := strings.Repeat("n", 255)
	for name, tc := range map[string]struct {
		entries []entry
		want    shown
		skipped []string
	}{
		// Names.
		"a dot first, as tar . makes": {entries: []entry{dir("./"), reg("./a", "1"), dir("./d/"), reg("./d/b", "2")}, want: shown{"a": "1", "d": "/", "d/b": "2"}},
		"slashes and dots":            {entries: []entry{dir("d//./e///"), reg("d/./e//f", "1"), reg(".//d/g", "2")}, want: shown{"d": "/", "d/e": "/", "d/e/f": "1", "d/g": "2"}},
		"folders only implied":        {entries: []entry{reg("a/b/c", "1")}, want: shown{"a": "/", "a/b": "/", "a/b/c": "1"}},
		"dots that are names":         {entries: []entry{reg("..a/...", "1"), reg(".b", "2"), reg("c..", "3")}, want: shown{"..a": "/", "..a/...": "1", ".b": "2", "c..": "3"}},
		"whiteouts are ordinary":      {entries: []entry{reg(".wh.a", "1"), reg("a", "2")}, want: shown{".wh.a": "1", "a": "2"}},
		"any bytes":                   {entries: []entry{reg("größe/日本", "1"), reg("\xff\xfe", "2"), reg("a\nb\\c", "3"), reg(" ", "4")}, want: shown{"größe": "/", "größe/日本": "1", "\xff\xfe": "2", "a\nb\\c": "3", " ": "4"}},
		"255 bytes a name":            {entries: []entry{reg(long, "1")}, want: shown{long: "1"}},

		// Kinds.
		"an empty file":                        {entries: []entry{reg("a", "")}, want: shown{"a": ""}},
		"old and contiguous files":             {entries: []entry{{typ: 0, name: "a", body: "1"}, {typ: '7', name: "b", body: "2"}}, want: shown{"a": "1", "b": "2"}},
		"old folders":                          {entries: []entry{{typ: 0, name: "d/"}, {typ: '0', name: "e/"}, reg("d/a", "1")}, want: shown{"d": "/", "e": "/", "d/a": "1"}},
		"a label":                              {entries: []entry{typed('V', "/the .. label"), reg("a", "1")}, want: shown{"a": "1"}},
		"headers larger than a buffer":         {entries: []entry{largePax(300 << 10), reg("a", "1"), largePax(70 << 10), reg("b", strings.Repeat("2", 1<<20)), reg("c", "3")}, want: shown{"a": "1", "b": strings.Repeat("2", 1<<20), "c": "3"}},
		"a global header":                      {entries: []entry{{typ: 'g', name: "pax_global_header", body: paxRecord("comment", "x")}, reg("a", "1")}, want: shown{"a": "1"}},
		"an incremental listing":               {entries: []entry{{typ: 'D', name: "d/", body: "Ya\x00Nb\x00\x00"}, reg("d/a", "1")}, want: shown{"d": "/", "d/a": "1"}},
		"devices, pipes, unknown types":        {entries: []entry{typed('3', "c"), typed('4', "b"), typed('6', "d/p"), {typ: 'Z', name: "z", body: "content"}, reg("a", "1")}, want: shown{"a": "1", "d": "/"}, skipped: []string{"c", "b", "d/p", "z"}},
		"a folder with a size has no content":  {entries: []entry{{typ: '5', name: "d/", size: "00000001000\x00"}, reg("a", "1")}, want: shown{"a": "1", "d": "/"}},
		"a symlink with a size has no content": {entries: []entry{{typ: '2', name: "l", link: "a", size: "00000001000\x00"}, reg("a", "1")}, want: shown{"a": "1", "l": "1"}},

		// Hard links.
		"a hard link":                          {entries: []entry{reg("a", "1"), hard("d/b", "a")}, want: shown{"a": "1", "d": "/", "d/b": "1"}},
		"a hard link with another spelling":    {entries: []entry{reg("./d/a", "1"), hard("./b", ".//d/./a")}, want: shown{"d": "/", "d/a": "1", "b": "1"}},
		"a hard link to a hard link":           {entries: []entry{reg("a", "1"), hard("b", "a"), hard("c", "b")}, want: shown{"a": "1", "b": "1", "c": "1"}},
		"a hard link to itself":                {entries: []entry{reg("a", "1"), hard("a", "a"), hard("a", "./a")}, want: shown{"a": "1"}},
		"a hard link to a skipped entry":       {entries: []entry{typed('6', "p"), hard("b", "p"), hard("c", "b"), reg("a", "1")}, want: shown{"a": "1"}, skipped: []string{"p", "b", "c"}},
		"a hard link to a symlink":             {entries: []entry{reg("d/a", "1"), sym("d/l", "a"), hard("d/m", "d/l")}, want: shown{"d": "/", "d/a": "1", "d/l": "1", "d/m": "1"}},
		"the same link leads where it lies":    {entries: []entry{reg("a", "1"), reg("d/a", "2"), sym("l", "a"), hard("d/l", "l")}, want: shown{"a": "1", "d": "/", "d/a": "2", "l": "1", "d/l": "2"}},
		"what a hard link was made of, stays":  {entries: []entry{reg("a", "1"), hard("b", "a"), reg("a", "2")}, want: shown{"a": "2", "b": "1"}},
		"a hard link over a file":              {entries: []entry{reg("a", "1"), reg("b", "2"), hard("b", "a")}, want: shown{"a": "1", "b": "1"}},
		"a hard link over a symlink":           {entries: []entry{reg("a", "1"), sym("b", "nowhere"), hard("b", "a")}, want: shown{"a": "1", "b": "1"}},
		"a hard link to a skipped over a file": {entries: []entry{reg("a", "1"), reg("b", "2"), typed('6', "p"), hard("b", "p")}, want: shown{"a": "1"}, skipped: []string{"b", "p"}},

		// The same path twice: the later entry counts.
		"file, file":        {entries: []entry{reg("a", "long content"), reg("./a", "2")}, want: shown{"a": "2"}},
		"folder, folder":    {entries: []entry{dir("d"), reg("d/a", "1"), dir("d/")}, want: shown{"d": "/", "d/a": "1"}},
		"file, symlink":     {entries: []entry{reg("a", "1"), reg("b", "2"), sym("a", "b")}, want: shown{"a": "2", "b": "2"}},
		"symlink, file":     {entries: []entry{sym("a", "b"), reg("b", "2"), reg("a", "1")}, want: shown{"a": "1", "b": "2"}},
		"symlink, symlink":  {entries: []entry{sym("l", "nowhere"), reg("b", "2"), sym("l", "b")}, want: shown{"l": "2", "b": "2"}},
		"file, pipe":        {entries: []entry{reg("a", "1"), reg("b", "2"), typed('6', "a")}, want: shown{"b": "2"}, skipped: []string{"a"}},
		"pipe, file":        {entries: []entry{typed('6', "a"), reg("a", "1")}, want: shown{"a": "1"}},
		"symlink, pipe":     {entries: []entry{reg("b", "2"), sym("a", "b"), typed('6', "a")}, want: shown{"b": "2"}, skipped: []string{"a"}},
		"pipe, symlink":     {entries: []entry{reg("b", "2"), typed('6', "a"), sym("a", "b")}, want: shown{"a": "2", "b": "2"}},
		"there, gone, back": {entries: []entry{reg("a", "1"), typed('6', "a"), reg("a", "2"), sym("a", "b"), reg("b", "3"), reg("a", "4")}, want: shown{"a": "4", "b": "3"}},

		// Symlinks to files.
		"to a file, either way round":     {entries: []entry{sym("l", "d/a"), reg("d/a", "1"), sym("d/m", "../l")}, want: shown{"d": "/", "d/a": "1", "l": "1", "d/m": "1"}},
		"odd targets":                     {entries: []entry{reg("d/a", "1"), sym("l", "./d/..//d/./a"), sym("d/m", "a")}, want: shown{"d": "/", "d/a": "1", "l": "1", "d/m": "1"}},
		"a file with a slash is no file":  {entries: []entry{reg("a", "1"), sym("l", "a/"), sym("m", "a/."), sym("n", "a/../a")}, want: shown{"a": "1"}, skipped: []string{"l", "m", "n"}},
		"absolute":                        {entries: []entry{reg("a", "1"), sym("l", "/a"), sym("m", "//a")}, want: shown{"a": "1"}, skipped: []string{"l", "m"}},
		"outside":                         {entries: []entry{reg("d/a", "1"), sym("l", "../x"), sym("d/m", "../../x/d/a"), sym("n", "..")}, want: shown{"d": "/", "d/a": "1"}, skipped: []string{"l", "d/m", "n"}},
		"outside only for a moment":       {entries: []entry{reg("a", "1"), sym("l", "../root/a"), sym("m", "../a")}, want: shown{"a": "1"}, skipped: []string{"l", "m"}},
		"nowhere":                         {entries: []entry{reg("a", "1"), sym("l", "b"), sym("m", ""), sym("n", "d/../a"), sym("o", "l"), sym("p", "l/x")}, want: shown{"a": "1"}, skipped: []string{"l", "m", "n", "o", "p"}},
		"to a skipped entry":              {entries: []entry{reg("a", "1"), typed('3', "c"), sym("l", "c"), sym("m", "c/x")}, want: shown{"a": "1"}, skipped: []string{"c", "l", "m"}},
		"circles":                         {entries: []entry{reg("a", "1"), sym("l", "l"), sym("m", "n"), sym("n", "m"), sym("o", "m"), sym("p", "./p/x")}, want: shown{"a": "1"}, skipped: []string{"l", "m", "n", "o", "p"}},
		"climbing from where a link went": {entries: []entry{reg("x/y/a", "1"), reg("x/b", "2"), sym("l", "x/y"), sym("m", "l/../b")}, want: shown{"x": "/", "x/y": "/", "x/y/a": "1", "x/b": "2", "l": "/", "l/a": "1", "m": "2"}},

		// Symlinks to folders.
		"to a folder":                   {entries: []entry{reg("d/e/a", "1"), reg("d/b", "2"), sym("l", "d")}, want: shown{"d": "/", "d/e": "/", "d/e/a": "1", "d/b": "2", "l": "/", "l/e": "/", "l/e/a": "1", "l/b": "2"}},
		"to an empty folder":            {entries: []entry{reg("a", "1"), dir("d"), sym("l", "d/")}, want: shown{"a": "1", "d": "/", "l": "/"}},
		"to a folder with a link in it": {entries: []entry{reg("a", "1"), sym("d/m", "../a"), sym("l", "d")}, want: shown{"a": "1", "d": "/", "d/m": "1", "l": "/", "l/m": "1"}},
		"to a folder with links to folders": {
			entries: []entry{reg("e/a", "1"), sym("d/m", "../e"), sym("l", "d")},
			want:    shown{"e": "/", "e/a": "1", "d": "/", "d/m": "/", "d/m/a": "1", "l": "/", "l/m": "/", "l/m/a": "1"},
		},
		"through a link to a folder": {entries: []entry{reg("d/e/a", "1"), sym("l", "d"), sym("m", "l/e"), sym("n", "m/a")}, want: shown{"d": "/", "d/e": "/", "d/e/a": "1", "l": "/", "l/e": "/", "l/e/a": "1", "m": "/", "m/a": "1", "n": "1"}},
		"to a folder that contains it": {
			entries: []entry{reg("d/e/a", "1"), sym("d/e/up", ".."), sym("d/here", "."), sym("top", "."), sym("down", "d/e/up/e/a")},
			want:    shown{"d": "/", "d/e": "/", "d/e/a": "1", "down": "1"},
			skipped: []string{"d/e/up", "d/here", "top"},
		},
		"what is skipped is not shown elsewhere either": {
			entries: []entry{reg("d/a", "1"), sym("d/here", "."), sym("d/out", "/x"), typed('6', "d/p"), sym("l", "d")},
			want:    shown{"d": "/", "d/a": "1", "l": "/", "l/a": "1"},
			skipped: []string{"d/here", "d/out", "d/p"},
		},
		"folders that link to each other": {
			entries: []entry{reg("a/1", "1"), sym("a/b", "../b"), reg("b/2", "2"), sym("b/a", "../a")},
			want:    shown{"a": "/", "a/1": "1", "a/b": "/", "a/b/2": "2", "b": "/", "b/2": "2", "b/a": "/", "b/a/1": "1"},
			skipped: []string{"a/b/a", "b/a/b"},
		},
		"a circle that a parent closes": {
			entries: []entry{reg("p/a/1", "1"), sym("p/a/q", "../../q"), reg("q/2", "2"), sym("q/p", "../p"), sym("m", "p/a")},
			want: shown{
				"p": "/", "p/a": "/", "p/a/1": "1", "q": "/", "q/2": "2",
				"p/a/q": "/", "p/a/q/2": "2",
				"q/p": "/", "q/p/a": "/", "q/p/a/1": "1",
				"m": "/", "m/1": "1", "m/q": "/", "m/q/2": "2", "m/q/p": "/", "m/q/p/a": "/", "m/q/p/a/1": "1",
			},
			skipped: []string{"p/a/q/p", "q/p/a/q", "m/q/p/a/q"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sink, report, err := extracted(t, tarOf(tc.entries...), Limits{})
			require.NoError(t, err)
			assert.Equal(t, tc.want, sink.tree())
			assert.ElementsMatch(t, tc.skipped, skippedNames(report))
			assert.Equal(t, len(tc.skipped), report.SkippedTotal)
		})
	}
}

// What is refused; says is part of the message.
func TestRefused(t *testing.T) {
	good := reg("good", "1")
	for name, tc := range map[string]struct {
		entries []entry
		limits  Limits
		entry   string
		says    string
	}{
		"dots":                       {entries: []entry{good, reg("../evil", "x")}, entry: "../evil", says: `".."`},
		"dots inside":                {entries: []entry{good, reg("a/../../evil", "x")}, entry: "a/../../evil", says: `".."`},
		"dots that would stay":       {entries: []entry{good, reg("a/../b", "x")}, entry: "a/../b", says: `".."`},
		"dots at the end":            {entries: []entry{good, dir("a/..")}, entry: "a/..", says: `".."`},
		"dots of a symlink's name":   {entries: []entry{good, sym("../l", "good")}, entry: "../l", says: `".."`},
		"dots of what is skipped":    {entries: []entry{good, typed('6', "../p")}, entry: "../p", says: `".."`},
		"absolute":                   {entries: []entry{good, reg("/etc/passwd", "x")}, entry: "/etc/passwd", says: "absolute"},
		"absolute twice":             {entries: []entry{good, dir("//x")}, entry: "//x", says: "absolute"},
		"the root as folder":         {entries: []entry{good, dir("/")}, entry: "/", says: "absolute"},
		"the root as file":           {entries: []entry{good, reg("./", "x")}, entry: "", says: "root of the tree"},
		"the root as symlink":        {entries: []entry{good, sym(".", "x")}, entry: ".", says: "root of the tree"},
		"the root as hard link":      {entries: []entry{good, hard(".", "good")}, entry: ".", says: "root of the tree"},
		"the root as pipe":           {entries: []entry{good, typed('6', ".")}, entry: ".", says: "root of the tree"},
		"no name":                    {entries: []entry{good, reg("", "x")}, says: "no name"},
		"NUL":                        {entries: []entry{good, {typ: '0', name: "x", pax: map[string]string{"path": "a\x00b"}}}, says: `after entry "good" is corrupt`},
		"NUL in a sparse file":       {entries: []entry{good, {typ: '0', name: "x", body: "0\n" + strings.Repeat("\x00", 510), pax: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a\x00b", "GNU.sparse.realsize": "0"}}}, entry: "a\x00b", says: "NUL"},
		"NUL in a GNU long name":     {entries: []entry{good, {typ: 'L', name: "././@LongLink", body: "a\x00b\x00"}, reg("a", "x")}, says: "NUL"},
		"NUL in a GNU long link":     {entries: []entry{good, {typ: 'L', name: "././@LongLink", body: "l\x00"}, {typ: 'K', name: "././@LongLink", body: "go\x00od\x00"}, sym("l", "good")}, says: "NUL"},
		"NUL behind large headers":   {entries: []entry{good, largePax(70 << 10), {typ: 'L', name: "././@LongLink", body: "a\x00b\x00"}, reg("a", "x")}, says: "NUL"},
		"headers without an end":     {entries: []entry{good, largePax(1 << 20), largePax(1 << 20), largePax(1 << 20), largePax(1 << 20), reg("a", "x")}, says: "larger than 4 MiB"},
		"a name over 255 bytes":      {entries: []entry{good, reg("d/"+strings.Repeat("n", 256)+"/x", "")}, says: "longer than 255 bytes"},
		"a path over 4096 bytes":     {entries: []entry{good, reg(strings.Repeat(strings.Repeat("n", 99)+"/", 40)+strings.Repeat("m", 97), "")}, says: "longer than 4096 bytes"},
		"a path over 256 deep":       {entries: []entry{good, reg(deep(256), "")}, says: "deeper than 256"},
		"content with a folder name": {entries: []entry{good, reg("d/", "x"), dir("d")}, says: "same path as a folder"},

		"through a symlink":                {entries: []entry{dir("d"), sym("l", "d"), reg("l/x", "1")}, entry: "l/x", says: `through the symlink "l"`},
		"through a symlink, a folder":      {entries: []entry{good, dir("d"), sym("l", "d"), dir("l/x")}, entry: "l/x", says: `through the symlink "l"`},
		"through a symlink, deep":          {entries: []entry{good, sym("d/l", "/etc"), reg("d/l/x/y", "")}, entry: "d/l/x/y", says: `through the symlink "d/l"`},
		"through a symlink, symlink":       {entries: []entry{good, sym("l", "/etc"), sym("l/x", "y")}, entry: "l/x", says: `through the symlink "l"`},
		"through a file":                   {entries: []entry{reg("a", "1"), reg("a/b", "2")}, entry: "a/b", says: `"a", which is no folder`},
		"through a pipe":                   {entries: []entry{good, typed('6', "p"), reg("p/b", "2")}, entry: "p/b", says: `"p", which is no folder`},
		"hard link forward":                {entries: []entry{hard("b", "a"), reg("a", "1")}, entry: "b", says: `"a", which is no earlier entry`},
		"hard link to itself only":         {entries: []entry{good, hard("b", "b")}, entry: "b", says: `"b", which is no earlier entry`},
		"hard link outside":                {entries: []entry{good, hard("b", "../good")}, entry: "b", says: `".."`},
		"hard link absolute":               {entries: []entry{good, hard("b", "/etc/passwd")}, entry: "b", says: "absolute"},
		"hard link without a target":       {entries: []entry{good, hard("b", "")}, entry: "b", says: "no name"},
		"hard link to a folder":            {entries: []entry{good, dir("d"), hard("b", "d")}, entry: "b", says: "which is a folder"},
		"hard link to the root":            {entries: []entry{good, hard("b", ".")}, entry: "b", says: "which is a folder"},
		"hard link to an implied folder":   {entries: []entry{reg("d/a", "1"), hard("b", "d")}, entry: "b", says: "which is a folder"},
		"hard link through a symlink":      {entries: []entry{reg("d/a", "1"), sym("l", "d"), hard("b", "l/a")}, entry: "b", says: `"l/a", which is no earlier entry`},
		"hard link over a folder":          {entries: []entry{reg("a", "1"), dir("d"), hard("d", "a")}, entry: "d", says: "same path as a folder"},
		"hard link to itself, a folder":    {entries: []entry{good, dir("d"), hard("d", "d")}, entry: "d", says: "which is a folder"},
		"folder, file":                     {entries: []entry{good, dir("x"), reg("x", "1")}, entry: "x", says: "same path as a folder"},
		"file, folder":                     {entries: []entry{good, reg("x", "1"), dir("x")}, entry: "x", says: "same path as a folder"},
		"implied folder, file":             {entries: []entry{reg("x/y", "1"), reg("x", "2")}, entry: "x", says: "same path as a folder"},
		"folder, symlink":                  {entries: []entry{good, dir("x"), sym("x", "good")}, entry: "x", says: "same path as a folder"},
		"symlink, folder":                  {entries: []entry{good, sym("x", "good"), dir("x")}, entry: "x", says: "same path as a folder"},
		"folder, pipe":                     {entries: []entry{good, dir("x"), typed('6', "x")}, entry: "x", says: "same path as a folder"},
		"pipe, folder":                     {entries: []entry{good, typed('6', "x"), dir("x")}, entry: "x", says: "same path as a folder"},
		"another volume":                   {entries: []entry{good, typed('M', "x")}, entry: "x", says: "another volume"},
		"a sparse file of the future":      {entries: []entry{good, {typ: '0', name: "x", pax: map[string]string{"GNU.sparse.major": "2", "GNU.sparse.minor": "0"}}}, entry: "x", says: "sparse"},
		"a sparse file with a broken map":  {entries: []entry{good, {typ: '0', name: "x", body: strings.Repeat("x", 512), pax: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}}}, says: `after entry "good"`},
		"a size that is none":              {entries: []entry{good, {typ: '0', name: "x", size: "99999999999\x00"}}, says: `after entry "good" is corrupt`},
		"a negative size":                  {entries: []entry{good, {typ: '0', name: "x", size: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"}}, says: `after entry "good" is corrupt`},
		"no file":                          {entries: []entry{dir("d"), dir("d/e")}, says: "not one file"},
		"no entry":                         {says: "not one file"},
		"nothing but what is skipped":      {entries: []entry{sym("l", "/x"), typed('6', "p")}, says: `skipped entries: 2, the first "l"`},
		"a file that became a pipe":        {entries: []entry{reg("a", "1"), typed('6', "a")}, says: "not one file"},
		"a file over its limit":            {entries: []entry{reg("a", "123"), reg("b", "1234")}, limits: Limits{FileBytes: 3}, entry: "b", says: "store.maxFileBytes"},
		"a sparse file over its limit":     {entries: []entry{{typ: '0', name: "x", body: "0\n" + strings.Repeat("\x00", 510), pax: map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s", "GNU.sparse.realsize": "5000000000"}}}, entry: "s", says: "store.maxFileBytes"},
		"bytes over the limit":             {entries: []entry{reg("a", "123"), reg("b", "12"), reg("c", "1")}, limits: Limits{TreeBytes: 5}, entry: "c", says: "store.maxTreeBytes"},
		"bytes over the limit, replaced":   {entries: []entry{reg("a", "123"), reg("a", "123")}, limits: Limits{TreeBytes: 5}, entry: "a", says: "store.maxTreeBytes"},
		"bytes over the limit, hard links": {entries: []entry{reg("a", "123"), hard("b", "a")}, limits: Limits{TreeBytes: 5}, entry: "b", says: "store.maxTreeBytes"},
		"files over the limit":             {entries: []entry{reg("a", ""), dir("d"), reg("d/b", ""), reg("c", "")}, limits: Limits{Files: 2}, entry: "c", says: "store.maxFiles"},
		"hard links over the limit":        {entries: []entry{reg("a", ""), hard("b", "a"), hard("c", "a")}, limits: Limits{Files: 2}, entry: "c", says: "store.maxFiles"},
		"symlinks over the limit":          {entries: []entry{reg("a", ""), sym("b", "a"), sym("c", "a")}, limits: Limits{Files: 2}, entry: "c", says: "store.maxFiles"},
		"folder links over the limit":      {entries: []entry{reg("d/a", ""), reg("d/b", ""), sym("l", "d")}, limits: Limits{Files: 3}, entry: "l/a", says: "store.maxFiles"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := extracted(t, tarOf(tc.entries...), tc.limits)
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			if tc.entry != "" {
				assert.Equal(t, tc.entry, refused.Entry)
			}
			assert.Contains(t, err.Error(), tc.says)
			if refused.Entry != "" {
				assert.Contains(t, err.Error(), quote(refused.Entry))
			}
		})
	}
}

// Limits are what is allowed, not what is refused.
func TestLimitsAreInclusive(t *testing.T) {
	path4096 := strings.Repeat(strings.Repeat("n", 99)+"/", 40) + strings.Repeat("m", 96)
	require.Len(t, path4096, 4096)
	data := tarOf(
		reg("a", "123"), reg("d/b", "45"), sym("l", "a"),
		reg(deep(255), ""), reg(path4096, ""),
	)
	_, report, err := extracted(t, data, Limits{TreeBytes: 5, FileBytes: 3, Files: 5})
	require.NoError(t, err)
	assert.Equal(t, 4, report.Files)
	assert.Equal(t, 1, report.Aliases)
	assert.EqualValues(t, 5, report.Bytes)
}

// Zero is the default of the configuration.
func TestDefaultLimits(t *testing.T) {
	assert.Equal(t, Limits{TreeBytes: 8 << 30, Files: 1_000_000, FileBytes: 4 << 30}, Limits{}.withDefaults())
	given := Limits{TreeBytes: 1, Files: 2, FileBytes: 3}
	assert.Equal(t, given, given.withDefaults())
	assert.EqualValues(t, math.MaxInt64, Limits{TreeBytes: math.MaxInt64, Files: 1}.streamBytes(), "no overflow")
}

// What is no file has a limit too, that a low limit of files does not lower.
func TestFoldersAndLinksAreBounded(t *testing.T) {
	for name, make := range map[string]func(i int) entry{
		"folders":         func(i int) entry { return dir(fmt.Sprintf("d%d", i)) },
		"implied folders": func(i int) entry { return dir(fmt.Sprintf("d%d/e", i)) }, // two each
		"symlinks":        func(i int) entry { return sym(fmt.Sprintf("l%d", i), "nowhere") },
		"skipped":         func(i int) entry { return typed('6', fmt.Sprintf("p%d", i)) },
	} {
		t.Run(name, func(t *testing.T) {
			n := 10_000
			if name == "implied folders" {
				n /= 2
			}
			entries := []entry{reg("f", "")}
			for i := range n {
				entries = append(entries, make(i))
			}
			limits := Limits{Files: 10}
			_, _, err := extracted(t, tarOf(entries...), limits)
			require.NoError(t, err)
			_, _, err = extracted(t, tarOf(append(entries, dir("over/it"))...), limits)
			require.ErrorContains(t, err, "store.maxFiles")
		})
	}
}

func TestDates(t *testing.T) {
	at := func(sec int64) time.Time { return time.Unix(sec, 0).UTC() }
	for name, tc := range map[string]struct {
		mtime string
		pax   string
		want  time.Time
	}{
		"plain":                {mtime: "07346545000\x00", want: at(1_000_000_000)},
		"none":                 {mtime: strings.Repeat("\x00", 12), want: at(0)},
		"before 1970":          {mtime: "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", want: at(0)},
		"before 1970 by PAX":   {pax: "-1.5", want: at(0)},
		"sub-second":           {pax: "1000000000.123456789", want: time.Unix(1_000_000_000, 123456789).UTC()},
		"in 3000":              {pax: "32503680000", want: maxDate},
		"at the end of time":   {mtime: "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", want: maxDate},
		"before all time":      {pax: "-9223372036854775808", want: at(0)},
		"after all time":       {pax: "9223372036854775807", want: maxDate},
		"the last that passes": {pax: "9214646399", want: at(9214646399)},
	} {
		t.Run(name, func(t *testing.T) {
			e := func(typ byte, name string) entry {
				e := entry{typ: typ, name: name, mtime: tc.mtime, link: "f"}
				if tc.pax != "" {
					e.pax = map[string]string{"mtime": tc.pax}
				}
				return e
			}
			sink, _, err := extracted(t, tarOf(e('0', "f"), e('5', "d"), e('2', "l"), reg("implied/x", "")), Limits{})
			require.NoError(t, err)
			assert.Equal(t, tc.want, sink.files["f"].modTime)
			assert.Equal(t, tc.want, sink.folders["d"])
			assert.Equal(t, tc.want, sink.linkAt["l"])
			assert.True(t, sink.folders["implied"].IsZero())
			assert.Positive(t, tc.want.UnixNano()+1, "fits in nanoseconds")
		})
	}
}

// A folder that was implied gets its date when its own entry follows.
func TestImpliedFolderIsDatedLater(t *testing.T) {
	sink, _, err := extracted(t, tarOf(reg("d/e/a", ""), dir("d/e"), dir("d/"), dir("d")), Limits{})
	require.NoError(t, err)
	assert.Equal(t, time.Unix(1_000_000_000, 0).UTC(), sink.folders["d"])
	assert.Equal(t, time.Unix(1_000_000_000, 0).UTC(), sink.folders["d/e"])
}

func TestReasonsAreSafeAndClear(t *testing.T) {
	_, report, err := extracted(t, tarOf(
		reg("a", ""), typed('3', "c"), typed('4', "b"), typed('6', "p"), typed('Z', "z"), typed(0xff, "y"), hard("h", "p"),
		sym("l1", "/x\x1b[2J"), sym("l2", ".."), sym("l3", "x"), sym("l4", "l4"), sym("l5", "p"), sym("d/l6", "../d"), sym("\x1b[2J", "x"),
	), Limits{})
	require.NoError(t, err)
	var lines []string
	for _, s := range report.Skipped {
		lines = append(lines, s.String())
	}
	assert.Equal(t, []string{
		`"c": character device`,
		`"b": block device`,
		`"p": named pipe`,
		`"z": entry of an unknown type 'Z'`,
		`"y": entry of an unknown type 'ÿ'`,
		`"h": hard link to an entry that is skipped`,
		`"l1": symlink to "/x\x1b[2J" is absolute; make it relative`,
		`"l2": symlink to ".." leads out of the archive`,
		`"l3": symlink to "x" leads to nothing in the archive`,
		`"l4": symlink to "l4" leads through too many symlinks, or in a circle`,
		`"l5": symlink to "p" leads to an entry that is skipped`,
		`"d/l6": symlink to "../d" leads to a folder that contains it`,
		`"\x1b[2J": symlink to "x" leads to nothing in the archive`,
	}, lines)

	_, _, err = extracted(t, tarOf(reg("../\x1b[2J\n"+strings.Repeat("x", 5000)+"end", "")), Limits{})
	assert.Regexp(t, `^archive refused at entry "\.\./\\x1b\[2J\\nx+…x+end": the name holds "\.\."$`, err.Error())
	assert.Less(t, len(err.Error()), 400)
}

// The report names a thousand, and counts all.
func TestSkippedIsBounded(t *testing.T) {
	entries := []entry{reg("a", "")}
	for range 1500 {
		entries = append(entries, typed('6', "p"+strings.Repeat("x", len(entries)%200)+string(rune('a'+len(entries)/200))))
	}
	_, report, err := extracted(t, tarOf(entries...), Limits{})
	require.NoError(t, err)
	assert.Len(t, report.Skipped, 1000)
	assert.Equal(t, 1500, report.SkippedTotal)
}
