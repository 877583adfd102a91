package archive

import (
	"context"
	"io"
)

// source is the caller's reader. It remembers the reader's own failure, which
// decoders on top of it may hide or reword.
type source struct {
	ctx context.Context
	r   io.Reader
	err error // what r failed with, never io.EOF
}

func (s *source) Read(p []byte) (int, error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// drain reads to the end; a failure is in s.err.
func (s *source) drain() {
	_, _ = io.Copy(io.Discard, s)
}
