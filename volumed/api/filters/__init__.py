"""What each list may be filtered and sorted by."""
