package selector

import "strings"

// Both grammars are read by hand. As regular expressions with their counted
// repetitions they took longer to compile than all else that a start does here,
// and most starts are of commands that look at no tag.

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"

	maxTagBytes    = 128
	digestHexBytes = 64
)

// isTag reports whether text is a tag by the OCI distribution specification,
// "Pulling manifests": [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}.
func isTag(text string) bool {
	return text != "" && len(text) <= maxTagBytes &&
		text[0] != '.' && text[0] != '-' && strings.Trim(text, letters+digits+"_.-") == ""
}

// isDigest reports whether text is sha256: and 64 lower-case hexadecimal digits.
func isDigest(text string) bool {
	hex, ok := strings.CutPrefix(text, digestPrefix)
	return ok && len(hex) == digestHexBytes && strings.Trim(hex, digits+"abcdef") == ""
}
