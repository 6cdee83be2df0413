%% SPDX-License-Identifier: Apache-2.0
%% @doc What an ERROR says beyond type and message: a map, as ETF inside a binary,
%% so that it is only decoded where somebody asks.
%%
%% The driver has checked the ERROR, but to it a story is a mere binary. So
%% nothing of it is taken for granted here.
-module(py_story).

-export([decode/1, maps/1]).

-define(COMPRESSED, 80).

%% @doc The map, if it is one. A compressed term is refused: a few bytes of it may
%% stand for very many.
-spec decode(term()) -> {ok, map()} | error.
decode(<<131, ?COMPRESSED, _/binary>>) ->
    error;
decode(Story) ->
    try binary_to_term(Story, [safe]) of
        Map when is_map(Map) -> {ok, Map};
        _ -> error
    catch
        error:_ -> error
    end.

%% @doc The maps in what should be a list of maps.
-spec maps(term()) -> [map()].
maps([Map | Others]) when is_map(Map) -> [Map | maps(Others)];
maps([_ | Others]) -> maps(Others);
maps(_) -> [].
