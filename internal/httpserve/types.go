package httpserve

import "strings"

// mediaType is what a file's name says of its content.
type mediaType struct {
	header []string // the Content-Type header, shared by all answers: never changed
	text   bool     // of a kind that shrinks when compressed
}

// mediaTypes is the table of what Specman knows, by lower-case extension. It is
// built in so that every replica says the same, whatever the host's mime.types.
var mediaTypes = func() map[string]mediaType {
	table := map[string]mediaType{}
	add := func(value string, text bool, extensions ...string) {
		if strings.HasPrefix(value, "text/") {
			value += "; charset=utf-8"
		}
		for _, extension := range extensions {
			table[extension] = mediaType{[]string{value}, text}
		}
	}
	add("application/yaml", true, "yaml", "yml")
	add("application/json", true, "json", "map")
	add("application/jsonl", true, "jsonl", "ndjson")
	add("application/xml", true, "xml", "xsd", "xsl")
	add("application/toml", true, "toml")
	add("application/sql", true, "sql")
	add("application/wasm", true, "wasm")
	add("application/x-sh", true, "sh", "bash")
	add("application/x-pem-file", true, "pem", "crt")
	add("application/manifest+json", true, "webmanifest")
	add("text/html", true, "html", "htm")
	add("text/css", true, "css")
	add("text/csv", true, "csv")
	add("text/javascript", true, "js", "mjs", "cjs")
	add("text/markdown", true, "md", "markdown")
	add("text/plain", true, "txt", "text", "log", "conf", "cfg", "ini", "env", "properties", "tpl", "tmpl", "tf", "hcl",
		"sha1", "sha256", "sha512", "sha256sum", "sha512sum", "md5", "asc", "diff", "patch", "go", "py", "rego", "cue")
	add("image/svg+xml", true, "svg")
	add("image/png", false, "png")
	add("image/jpeg", false, "jpg", "jpeg")
	add("image/gif", false, "gif")
	add("image/webp", false, "webp")
	add("image/avif", false, "avif")
	add("image/x-icon", false, "ico")
	add("font/woff", false, "woff")
	add("font/woff2", false, "woff2")
	add("font/ttf", false, "ttf")
	add("font/otf", false, "otf")
	add("audio/mpeg", false, "mp3")
	add("video/mp4", false, "mp4")
	add("video/webm", false, "webm")
	add("application/pdf", false, "pdf")
	add("application/gzip", false, "gz", "tgz")
	add("application/x-tar", false, "tar")
	add("application/zip", false, "zip")
	add("application/zstd", false, "zst", "tzst")
	add("application/x-xz", false, "xz", "txz")
	add("application/x-bzip2", false, "bz2", "tbz2")
	add("application/x-7z-compressed", false, "7z")
	add("application/java-archive", false, "jar")
	add("application/vnd.debian.binary-package", false, "deb")
	add("application/x-rpm", false, "rpm")
	return table
}()

var unknownType = mediaType{header: []string{"application/octet-stream"}}

// typeOf looks a file's media type up by the extension of its name.
func typeOf(name string) mediaType {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || strings.IndexByte(name[dot:], '/') >= 0 {
		return unknownType
	}
	extension := name[dot+1:]
	t, ok := mediaTypes[extension]
	if !ok {
		t, ok = mediaTypes[strings.ToLower(extension)]
	}
	if !ok {
		return unknownType
	}
	return t
}
