-- Whether the client wants words with their times; null leaves it to the service's setting.
ALTER TABLE jobs ADD COLUMN word_timestamps INTEGER CHECK (word_timestamps IN (0, 1));
