%% SPDX-License-Identifier: Apache-2.0
%% @doc Segments of shared memory (c_src/shm_nif).
%%
%% A handle is a reference: the segment lives as long as a copy of it does, or a
%% binary from `binary/2', or a process that has it mapped.  Its secret has to be
%% named with it.
-module(py_shm_nif).

-export([new/1, blank/1, seal/2, fd/2, binary/2, used_since/3, live/0]).

-on_load(load/0).
-nifs([new/1, blank/1, seal/2, fd/2, binary/2, used_since/3, live/0]).

-export_type([secret/0]).

-type secret() :: <<_:128>>.

load() ->
    erlang:load_nif(filename:join(code:priv_dir(terrarium), "py_shm_nif"), 0).

%% @doc A segment with a copy of these bytes, which nobody can change.
-spec new(binary()) -> {ok, reference(), secret()} | {error, file:posix()}.
new(_Bytes) ->
    erlang:nif_error(not_loaded).

%% @doc A segment of zeroes that can be written until `seal/2'.
-spec blank(non_neg_integer()) -> {ok, reference(), secret()} | {error, file:posix()}.
blank(_Size) ->
    erlang:nif_error(not_loaded).

%% @doc Let nobody write any more; `ebusy' while somebody has it mapped to write.
-spec seal(reference(), secret()) -> ok | {error, gone | file:posix()}.
seal(_Handle, _Secret) ->
    erlang:nif_error(not_loaded).

%% @doc Its descriptor, which is good as long as the caller holds the handle.
-spec fd(reference(), secret()) -> {ok, non_neg_integer()} | {error, gone}.
fd(_Handle, _Secret) ->
    erlang:nif_error(not_loaded).

%% @doc What is in it, not copied; `eperm' before it is sealed.
-spec binary(reference(), secret()) -> {ok, binary()} | {error, gone | file:posix()}.
binary(_Handle, _Secret) ->
    erlang:nif_error(not_loaded).

%% @doc Has anybody called `fd/2' or `binary/2' since this time, in nanoseconds of the
%% system's monotonic clock (clock_gettime(2))?
-spec used_since(reference(), secret(), non_neg_integer()) -> boolean().
used_since(_Handle, _Secret, _Since) ->
    erlang:nif_error(not_loaded).

%% @doc How many segments this VM holds, and their bytes.
-spec live() -> {non_neg_integer(), non_neg_integer()}.
live() ->
    erlang:nif_error(not_loaded).
