%% SPDX-License-Identifier: Apache-2.0
%% @doc A zygote's `log' messages, through logger.
-module(py_zygote_log).

-export([log/2]).

-include_lib("kernel/include/logger.hrl").

%% @doc Log one message of the zygote of this runtime.
-spec log(atom(), map()) -> ok.
log(Name, Message) ->
    Text = maps:get(<<"text">>, Message, <<>>),
    Level = level(maps:get(<<"level">>, Message, <<"notice">>)),
    ?LOG(Level, "Python runtime ~ts: ~ts", [Name, text(Text)]).

level(<<"debug">>) -> debug;
level(<<"info">>) -> info;
level(<<"warning">>) -> warning;
level(<<"error">>) -> error;
level(_) -> notice.

text(Text) when is_binary(Text) ->
    py_shown:text(Text);
text(Other) ->
    io_lib:format("~0tp", [Other]).
