package oci

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	_ "crypto/sha512" // digests may use it; sha256 comes with go-digest
)

// verifier gives io.EOF only for a body that is all that its descriptor says.
type verifier struct {
	body   io.ReadCloser
	desc   ocispec.Descriptor
	target string
	digest digest.Digester
	count  func(n int)
	read   int64
	err    error // what every further Read returns
}

func newVerifier(body io.ReadCloser, desc ocispec.Descriptor, target string, count func(int)) *verifier {
	return &verifier{body: body, desc: desc, target: target, digest: desc.Digest.Algorithm().Digester(), count: count}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	// One byte more than the size is enough to know that a body is too long.
	if left := v.desc.Size - v.read; int64(len(p))-1 > left {
		p = p[:left+1]
	}
	n, err := v.body.Read(p)
	v.read += int64(n)
	v.count(n)
	v.digest.Hash().Write(p[:n])
	switch {
	case v.read > v.desc.Size:
		v.err = v.corrupt(fmt.Errorf("it is longer than its %d bytes", v.desc.Size))
		return 0, v.err
	case errors.Is(err, io.EOF):
		v.err = v.check()
	case err != nil:
		v.err = err
	}
	return n, v.err
}

func (v *verifier) check() error {
	if v.read < v.desc.Size {
		return v.corrupt(fmt.Errorf("it ends after %d of %d bytes", v.read, v.desc.Size))
	}
	if got := v.digest.Digest(); got != v.desc.Digest {
		return v.corrupt(fmt.Errorf("its digest is %s", got))
	}
	return io.EOF
}

func (v *verifier) corrupt(err error) *Error {
	return &Error{Operation: opBlob, Target: v.target, Kind: Corrupt, Cure: hintDamaged, Err: err}
}

func (v *verifier) Close() error { return v.body.Close() }
