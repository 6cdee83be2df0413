%% SPDX-License-Identifier: Apache-2.0
%% @doc Processes that work for a reference: of a cast, of a stream.
%%
%% Each writes its own row and takes it away when it ends; that of one that was killed
%% goes when somebody notices, at the latest after many others.  The table is one of
%% `py_registry'.
-module(py_workers).

-export([put/2, find/1, remove/1]).

-define(TABLE, py_workers).
%% One of so many who come looks for the rows of those that were killed.
-define(SWEEPS, 1024).

%% @doc The calling process works for this reference, on behalf of this owner.
-spec put(reference(), pid()) -> ok.
put(Ref, Owner) ->
    try
        _ = erlang:phash2(Ref, ?SWEEPS) =:= 0 andalso sweep(),
        true = ets:insert(?TABLE, {Ref, self(), Owner}),
        ok
    catch
        error:badarg -> ok
    end.

sweep() ->
    lists:foreach(fun([Ref, Pid]) -> is_process_alive(Pid) orelse ets:delete(?TABLE, Ref) end,
                  ets:match(?TABLE, {'$1', '$2', '_'})).

%% @doc Who works for it, and on whose behalf.
-spec find(reference()) -> {pid(), pid()} | none.
find(Ref) ->
    try ets:lookup(?TABLE, Ref) of
        [{_, Pid, Owner}] -> {Pid, Owner};
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc Nobody does any more; fine if the application has gone.
-spec remove(reference()) -> ok.
remove(Ref) ->
    try ets:delete(?TABLE, Ref) of
        true -> ok
    catch
        error:badarg -> ok
    end.
