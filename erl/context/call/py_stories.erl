%% SPDX-License-Identifier: Apache-2.0
%% @doc What is known about the errors of calls whose answer comes by a message,
%% until somebody awaits it.
%%
%% A call is worked on in a process of its own, which ends with it; the message
%% has the error alone.  The last so many stories are kept, and none that is very
%% long: who never awaits costs no more than that.  The table is one of
%% `py_registry'.
-module(py_stories).

-export([put/2, take/1]).

-define(TABLE, py_stories).
-define(MAX_STORIES, 1024).
-define(MAX_BYTES, 65536).

%% @doc Keep what `py_answer:take_last/0' gave for the call of this reference.
-spec put(reference(), term()) -> ok.
put(_, undefined) ->
    ok;
put(Ref, Last) ->
    case erlang:external_size(Last) =< ?MAX_BYTES of
        true -> keep(Ref, Last);
        false -> ok
    end.

%% In a place whose former story goes.
keep(Ref, Last) ->
    try
        N = ets:update_counter(?TABLE, count, 1, {count, 0}) rem ?MAX_STORIES,
        _ = [ets:delete(?TABLE, Old) || {_, Old} <- ets:lookup(?TABLE, N)],
        true = ets:insert(?TABLE, [{N, Ref}, {Ref, Last}]),
        ok
    catch
        error:badarg -> ok
    end.

%% @doc Take it away again.
-spec take(reference()) -> {ok, term()} | none.
take(Ref) ->
    try ets:take(?TABLE, Ref) of
        [{_, Last}] -> {ok, Last};
        [] -> none
    catch
        error:badarg -> none
    end.
