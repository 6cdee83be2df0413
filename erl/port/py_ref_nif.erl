%% SPDX-License-Identifier: Apache-2.0
%% @doc Handles that tell when nobody holds them any more (c_src/ref_nif).
%%
%% A handle is a reference.  When the last copy of it has been collected, the
%% process that it was made for gets `{py_release, Generation, Id}'.
-module(py_ref_nif).

-export([new/3, is_held/1, live/0]).

-on_load(load/0).
-nifs([new/3, is_held/1, live/0]).

load() ->
    erlang:load_nif(filename:join(code:priv_dir(terrarium), "py_ref_nif"), 0).

%% @doc A handle that tells this process.
-spec new(pid(), non_neg_integer(), non_neg_integer()) -> reference().
new(_Context, _Generation, _Id) ->
    erlang:nif_error(not_loaded).

%% @doc Is it a handle of this VM that has not been collected?  One that another node had,
%% and that came back, need not be.
-spec is_held(term()) -> boolean().
is_held(_Handle) ->
    erlang:nif_error(not_loaded).

%% @doc How many handles there are in this VM.
-spec live() -> non_neg_integer().
live() ->
    erlang:nif_error(not_loaded).
