-- The farm's own truth. Times are the silo's clock, passed in; states and kinds are the contracts' names.
CREATE TABLE farm.guests (
  id text PRIMARY KEY,
  position integer NOT NULL,          -- the catalogue's order
  digest text NOT NULL,
  info jsonb NOT NULL,                -- GuestInfo
  plans jsonb NOT NULL,               -- GuestPlan[], one per kind
  retired boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL
);

CREATE TABLE farm.stacks (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  backend text NOT NULL,
  assist text NOT NULL,
  firmware text NOT NULL,
  memory_mib integer NOT NULL DEFAULT 0,      -- 0: the guest's own
  cpu_model text NOT NULL DEFAULT '',         -- '': the guest's own
  firmware_build text NOT NULL DEFAULT '',    -- '': not known (a request)
  UNIQUE (backend, assist, firmware, memory_mib, cpu_model, firmware_build)
);

CREATE TABLE farm.workers (
  id text PRIMARY KEY,
  session bigint NOT NULL,
  state text NOT NULL,
  capabilities jsonb NOT NULL,
  slots integer NOT NULL CHECK (slots >= 0),
  media jsonb NOT NULL,                       -- HeldMedia[]
  registered_at timestamptz NOT NULL,
  last_beat timestamptz NOT NULL,
  infrastructure_streak integer NOT NULL DEFAULT 0,   -- different jobs in a row that ended in infrastructure trouble
  last_trouble_job bigint,
  quarantined_until timestamptz,
  note text NOT NULL DEFAULT '',
  free_disk_mib bigint NOT NULL DEFAULT 0,
  load double precision NOT NULL DEFAULT 0
);
CREATE SEQUENCE farm.worker_sessions;

CREATE TABLE farm.jobs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  guest_id text NOT NULL REFERENCES farm.guests,
  kind text NOT NULL,
  stack_id bigint NOT NULL REFERENCES farm.stacks,    -- as asked for
  plan jsonb NOT NULL,                                -- GuestPlan, frozen
  priority integer NOT NULL,
  state text NOT NULL CHECK (state IN ('Queued', 'Leased', 'Running', 'Finished')),
  epoch bigint NOT NULL DEFAULT 0,                    -- raised by every lease; a write with another one changes nothing
  worker text,
  lease_expires_at timestamptz,
  created_at timestamptz NOT NULL,
  queued_at timestamptz NOT NULL,                     -- of the last time it went into the queue
  started_at timestamptz,
  finished_at timestamptz,
  infrastructure_retries integer NOT NULL DEFAULT 0,
  avoid text[] NOT NULL DEFAULT '{}',                 -- workers where it ended in infrastructure trouble
  run_id bigint,
  outcome text,
  health text,
  furthest text NOT NULL DEFAULT 'None',
  progress double precision NOT NULL DEFAULT 0,
  summary text,
  requested_by text NOT NULL,
  rerun_of bigint REFERENCES farm.jobs,
  cancel_requested boolean NOT NULL DEFAULT false,
  CHECK ((state IN ('Leased', 'Running')) = (lease_expires_at IS NOT NULL)),
  CHECK (state IN ('Queued', 'Finished') OR worker IS NOT NULL)
);
CREATE INDEX jobs_active ON farm.jobs (state, lease_expires_at) WHERE state <> 'Finished';
CREATE INDEX jobs_of_guest ON farm.jobs (guest_id, kind, id DESC);
CREATE INDEX jobs_of_worker ON farm.jobs (worker) WHERE state IN ('Leased', 'Running');

CREATE TABLE farm.runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id bigint NOT NULL REFERENCES farm.jobs,
  epoch bigint NOT NULL,
  guest_id text NOT NULL,
  kind text NOT NULL,
  guest_digest text NOT NULL,
  stack_id bigint NOT NULL REFERENCES farm.stacks,    -- backend resolved
  worker text NOT NULL,
  leased_at timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  health text,
  outcome text,
  furthest text NOT NULL DEFAULT 'None',
  progress double precision NOT NULL DEFAULT 0,
  summary text NOT NULL DEFAULT '',
  report jsonb,                                       -- RunReport
  serial_tail text NOT NULL DEFAULT '',
  screen jsonb,                                       -- ScreenUpdate, the last one
  UNIQUE (job_id, epoch)
);
CREATE INDEX runs_of_guest ON farm.runs (guest_id, kind, id DESC);
CREATE INDEX runs_durations ON farm.runs (guest_id, kind, finished_at DESC) WHERE health = 'Ok';

CREATE TABLE farm.phases (
  run_id bigint NOT NULL REFERENCES farm.runs ON DELETE CASCADE,
  position integer NOT NULL,
  phase text NOT NULL,
  guest_seconds double precision NOT NULL,
  host_seconds double precision NOT NULL,
  instructions bigint NOT NULL,
  detail text,
  PRIMARY KEY (run_id, position)
);

CREATE TABLE farm.artifacts (
  sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  size bigint NOT NULL,
  content_type text NOT NULL,
  created_at timestamptz NOT NULL
);
CREATE TABLE farm.run_artifacts (
  run_id bigint NOT NULL REFERENCES farm.runs ON DELETE CASCADE,
  name text NOT NULL,
  sha256 text NOT NULL,
  size bigint NOT NULL,
  content_type text NOT NULL,
  guest_seconds double precision NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, name)
);

CREATE TABLE farm.opcode_groups (
  fingerprint text PRIMARY KEY,
  title text NOT NULL,
  mnemonic text NOT NULL,
  opcode text NOT NULL,
  prefixes text NOT NULL,
  mode text NOT NULL,
  exit_reason text NOT NULL,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  occurrences bigint NOT NULL DEFAULT 0,
  status text NOT NULL DEFAULT 'Open',
  note text
);
CREATE TABLE farm.opcode_failures (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fingerprint text NOT NULL REFERENCES farm.opcode_groups,
  run_id bigint NOT NULL REFERENCES farm.runs ON DELETE CASCADE,
  at timestamptz NOT NULL,
  report jsonb NOT NULL,                              -- UnsupportedOpcodeReport
  UNIQUE (fingerprint, run_id)
);
CREATE INDEX opcode_failures_of_run ON farm.opcode_failures (run_id);

-- The matrix as it stands: one row per cell that has a result, rewritten in the transaction that finishes a run.
CREATE TABLE farm.cells (
  guest_id text NOT NULL,
  kind text NOT NULL,
  backend text NOT NULL,
  assist text NOT NULL,
  firmware text NOT NULL,
  verdict text NOT NULL,
  outcome text NOT NULL,
  furthest text NOT NULL,
  trend text NOT NULL,
  stack_id bigint NOT NULL REFERENCES farm.stacks,
  run_id bigint NOT NULL REFERENCES farm.runs,
  at timestamptz NOT NULL,
  results integer NOT NULL,
  passes integer NOT NULL,
  history jsonb NOT NULL,                             -- CellResult[], newest last, at most 20
  summary text NOT NULL,
  guest_digest text NOT NULL,
  PRIMARY KEY (guest_id, kind, backend, assist, firmware)
);

CREATE TABLE farm.audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  subject text NOT NULL,
  detail text NOT NULL DEFAULT ''
);
