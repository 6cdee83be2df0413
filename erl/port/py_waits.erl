%% SPDX-License-Identifier: Apache-2.0
%% @doc The table of who waits for something on behalf of a helper, by the tokens that
%% helpers give them; `py_registry' owns it.  Who waits writes, and whoever ends a wait
%% takes it (`py_wait').
-module(py_waits).

-export([enter/3, enter_early/3, drop_early/1, take/2, all/1]).

-define(TABLE, py_waits).

%% @doc Write down a wait under the token that the helper gave it; `false' where
%% something is written there already.
-spec enter(port(), term(), term()) -> boolean().
enter(Port, Token, What) ->
    ets:insert_new(?TABLE, {{Port, 1, Token}, What}).

%% @doc The same of one that was cancelled before it began; `full' where so many are
%% written down for this helper already.
-spec enter_early(port(), term(), pos_integer()) -> boolean() | full.
enter_early(Port, Token, Most) ->
    Count = {Port, 2, early},
    case ets:update_counter(?TABLE, Count, 1, {Count, 0}) =< Most of
        false ->
            ok = drop_early(Port),
            full;
        true ->
            Entered = enter(Port, Token, early),
            _ = Entered orelse drop_early(Port),
            Entered
    end.

%% @doc One of them, taken or not, counts no more.
-spec drop_early(port()) -> ok.
drop_early(Port) ->
    Count = {Port, 2, early},
    try
        _ = ets:update_counter(?TABLE, Count, -1),
        true = ets:delete_object(?TABLE, {Count, 0}),
        ok
    catch
        error:badarg -> ok % the application has ended
    end.

%% @doc Take what is written there: only one can.
-spec take(port(), term()) -> {ok, term()} | none.
take(Port, Token) ->
    try ets:take(?TABLE, {Port, 1, Token}) of
        [{_, What}] -> {ok, What};
        [] -> none
    catch
        error:badarg -> none
    end.

%% @doc The tokens of all waits for this helper.
-spec all(port()) -> [term()].
all(Port) ->
    try later({Port, 0, none}, Port) catch error:badarg -> [] end.

%% The table is ordered, so that the others' are not looked at.
later(Key, Port) ->
    case ets:next(?TABLE, Key) of
        {Port, 1, Token} = Next -> [Token | later(Next, Port)];
        _ -> []
    end.
