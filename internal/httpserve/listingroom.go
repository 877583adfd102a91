package httpserve

import (
	"context"

	"golang.org/x/sync/semaphore"

	"github.com/specman/specman/internal/store"
)

// listingRoom bounds the entries of the listings that are under way together. A
// listing lies in memory as a whole, a kilobyte or so for each entry, until its
// client has taken it; and a client may ask for a hundred on one connection, and
// take nothing.
type listingRoom struct {
	entries *semaphore.Weighted
	limits  limits
}

func newListingRoom(limits limits) *listingRoom {
	return &listingRoom{semaphore.NewWeighted(limits.listed), limits}
}

// enter waits for room for a folder's listing. Its leave must be called once the
// listing is sent; it is nil where there was no room in time. A folder larger than
// all the room takes all of it.
func (l *listingRoom) enter(ctx context.Context, view *store.View, folder store.Entry) (leave func()) {
	n := int64(1)
	for range view.Children(folder) {
		n++
	}
	n = min(n, l.limits.listed)
	ctx, cancel := context.WithTimeout(ctx, l.limits.room)
	defer cancel()
	if l.entries.Acquire(ctx, n) != nil {
		return nil
	}
	return func() { l.entries.Release(n) }
}
